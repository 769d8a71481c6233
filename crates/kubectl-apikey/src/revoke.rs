//! `revoke`: deletes keys. Their secrets are refused from that moment.

use std::cell::RefCell;

use clap::{Args, ValueEnum};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Preconditions};
use kube::core::Request;

use super::dialogue::Change;
use super::exit::Failure;
use super::invocation::{Cluster, Invocation};
use super::select::Selection;
use super::table::{self, Cell};
use super::{bulk, delivered, gitops, key, lost, time};
use apikey_api::{ApiKey, names};
use apikey_client::error::request;

/// Delete keys and refuse their secrets permanently.
///
/// The delivered Secrets are deleted too. `/authz` and introspection refuse tokens of the keys at once. A
/// service that checks only the signature accepts a token until it expires, by default for up to an hour. To
/// disable a key temporarily, suspend it.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Revoke {
    #[command(flatten)]
    selection: Selection,

    /// Don't ask for confirmation.
    #[arg(short, long)]
    yes: bool,

    /// Only show what would be revoked.
    #[arg(long, value_name = "WHERE", num_args = 0..=1, require_equals = true,
        default_missing_value = "client")]
    dry_run: Option<DryRun>,
}

/// Where a change is tried without being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum DryRun {
    /// Nothing is sent.
    Client,
    /// The API server checks it and keeps nothing.
    Server,
}

const EXAMPLES: &str = "\
Examples:
  Revoke one key, after confirmation:
    kubectl apikey revoke ci-upload

  Show which keys would be revoked, and revoke them in a script:
    kubectl apikey revoke --all --org acme --dry-run
    kubectl apikey revoke --all --org acme --yes

  Revoke keys that were not used for 90 days:
    kubectl apikey list --unused 90d -o name | xargs kubectl apikey revoke --yes";

pub(super) async fn run(flags: &Revoke, call: &mut Invocation) -> Result<(), Failure> {
    let cluster = call.cluster().await?;
    let asks = flags.dry_run.is_none() && !flags.yes;
    let selected = bulk::confirmed(call, &cluster, &flags.selection, asks, question).await?;
    for key in &selected.keys {
        if let Some(tool) = gitops::keeper(&key.metadata) {
            let name = key::name(key);
            call.terminal.warn(format!(
                "apikey/{name} is managed by {tool}, which may create it again, with a new secret: \
                 remove it where it is declared"
            ));
        }
    }
    let left = RefCell::new(Vec::new());
    let revoked = bulk::each(call, selected, "Revoking", async |key| {
        let (behind, deleted) = futures::join!(
            left_behind(&cluster, key),
            delete(&cluster, key, flags.dry_run)
        );
        if deleted.is_ok() {
            left.borrow_mut().extend(behind);
        }
        deleted
    })
    .await;
    for text in left.into_inner() {
        call.terminal.warn(text);
    }
    revoked
}

/// The question before keys are deleted.
fn question(keys: &[ApiKey], now: Timestamp) -> Option<Change<'static>> {
    let count = keys.len();
    let rows: Vec<Vec<Cell>> = keys.iter().map(|key| row(key, now)).collect();
    let head = ["NAME", "ORG", "STATUS", "LAST-USED"];
    (count > 0).then(|| Change {
        would: format!("revoke {count} key(s) permanently"),
        shown: table::render(&head, &rows),
        question: format!("Revoke {count} key(s)? Their secrets are then refused permanently"),
        otherwise: "nothing was revoked",
    })
}

fn row(key: &ApiKey, now: Timestamp) -> Vec<Cell> {
    let (phase, style) = key::phase(key);
    let used = key::last_used(key).map(|time| time::relative(time, now));
    vec![
        key::name(key).into(),
        key.spec.org.as_str().into(),
        Cell::new(style, phase),
        used.unwrap_or_default().into(),
    ]
}

/// Deletes the key only if it is still the one that was read.
async fn delete(
    cluster: &Cluster,
    key: &ApiKey,
    dry_run: Option<DryRun>,
) -> Result<&'static str, Failure> {
    if dry_run == Some(DryRun::Client) {
        return Ok("revoked (dry run)");
    }
    let params = DeleteParams {
        dry_run: dry_run.is_some(),
        preconditions: Some(Preconditions {
            uid: key.metadata.uid.clone(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    let name = key::name(key);
    let write = async || {
        let delete = Request::new(cluster.keys().resource_url()).delete(name, &params);
        let deleted = async {
            let delete = delete.map_err(kube::Error::BuildRequest)?;
            // The answer can be the deleted object with any content, so it is not parsed.
            cluster.client.request_text(delete).await.map(|_| ())
        };
        request("delete the ApiKey", deleted).await
    };
    let made = async || {
        let found = cluster.metadata(cluster.here::<ApiKey>(), name);
        let found = request("read the ApiKey", found).await?;
        let is_there = found.is_some_and(|found| {
            let meta = &found.metadata;
            meta.uid == key.metadata.uid && meta.deletion_timestamp.is_none()
        });
        Ok((!is_there && dry_run.is_none()).then_some(()))
    };
    lost::certain(write, made, async |error| error.into()).await?;
    Ok(if dry_run.is_some() {
        "revoked (server dry run)"
    } else {
        "revoked"
    })
}

/// Returns a note about a Secret that holds the secret of a revoked key but is not owned by it, and so is not
/// deleted. Returns nothing if the user may not read the Secret.
async fn left_behind(cluster: &Cluster, key: &ApiKey) -> Option<String> {
    let id = key.status.as_ref()?.key_id.as_ref()?;
    let found = cluster.metadata(cluster.here::<Secret>(), key.secret_name());
    let found = request("read the Secret", found).await.ok()??;
    let labels = found.metadata.labels.as_ref()?;
    let is_left =
        labels.get(names::LABEL_KEY_ID) == Some(id) && !delivered::is_of(&found.metadata, key);
    is_left.then(|| {
        let (secret, name) = (key.secret_name(), key::name(key));
        format!(
            "Secret '{secret}' no longer belongs to apikey/{name}, so it is not deleted, and its \
             secret is refused: kubectl delete secret {secret} -n {}",
            cluster.namespace
        )
    })
}
