//! `discard-previous`: ends the overlap after a rotation.

use clap::Args;
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::dialogue::Change;
use super::exit::Failure;
use super::invocation::{Cluster, Invocation};
use super::revoke::DryRun;
use super::rotate::Wait;
use super::select::Selection;
use super::text::Text;
use super::{bulk, follow, key, patch, time};
use apikey_api::{ApiKey, PreviousSecret, names};
use apikey_client::clock::Clock;

/// Refuse the replaced secrets before their overlap ends.
///
/// The current secrets stay valid. A key without a replaced secret that is still accepted stays unchanged,
/// and this is not an error.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct DiscardPrevious {
    #[command(flatten)]
    selection: Selection,

    #[command(flatten)]
    wait: Wait,

    /// Don't ask for confirmation.
    #[arg(short, long)]
    yes: bool,

    /// Only show which secrets would be refused.
    #[arg(long, value_name = "WHERE", num_args = 0..=1, require_equals = true,
        default_missing_value = "client")]
    dry_run: Option<DryRun>,
}

const EXAMPLES: &str = "\
Examples:
  All programs have the new secret:
    kubectl apikey discard-previous ci-upload

  All keys of a team, in a script:
    kubectl apikey discard-previous -l team=web --yes";

pub(super) async fn run(flags: &DiscardPrevious, call: &mut Invocation) -> Result<(), Failure> {
    let cluster = call.cluster().await?;
    let asks = flags.dry_run.is_none() && !flags.yes;
    let selected = bulk::confirmed(call, &cluster, &flags.selection, asks, question).await?;
    let clock = call.clock.clone();
    bulk::each(call, selected, "Discarding", async |key| {
        discard(&cluster, key, flags, &clock).await
    })
    .await
}

/// The question before replaced secrets are refused. `None` if none of the keys has one.
fn question(keys: &[ApiKey], now: Timestamp) -> Option<Change<'static>> {
    let mut lines = Vec::new();
    for key in keys {
        if let Some(previous) = previous(key, now) {
            let (name, end) = (key::name(key), previous.valid_until.0);
            lines.push(format!(
                "{name}: revision {}, accepted until {end} ({})",
                previous.revision,
                time::relative(end, now)
            ));
        }
    }
    let count = lines.len();
    (count > 0).then(|| Change {
        would: format!("refuse {count} replaced secret(s) permanently"),
        shown: Text::lines(lines),
        question: format!("Refuse {count} replaced secret(s) from now on?"),
        otherwise: "nothing was discarded",
    })
}

async fn discard(
    cluster: &Cluster,
    key: &ApiKey,
    flags: &DiscardPrevious,
    clock: &Clock,
) -> Result<String, Failure> {
    let Some(previous) = previous(key, clock.now()) else {
        return Ok("unchanged: it has no replaced secret that is still accepted".to_owned());
    };
    let revision = previous.revision;
    let change = json!({(names::ANNOTATION_DISCARD_PREVIOUS): revision.to_string()});
    match flags.dry_run {
        Some(DryRun::Client) => {
            return Ok(format!("revision {revision} discarded (dry run)"));
        }
        Some(DryRun::Server) => {
            patch::annotations(cluster, key, &change, true).await?;
            return Ok(format!("revision {revision} discarded (server dry run)"));
        }
        None => patch::annotations(cluster, key, &change, false).await?,
    };
    if !flags.wait.wait {
        return Ok(format!("discarding of revision {revision} requested"));
    }
    let what = "the request remains, and the replaced secret is still accepted";
    follow::until(cluster, key::name(key), flags.wait.timeout, what, |seen| {
        let held = self::previous(seen, clock.now());
        let is_over = held.is_none_or(|held| held.revision != revision);
        Ok(is_over.then(|| format!("revision {revision} discarded: it is refused from now on")))
    })
    .await
}

/// The replaced secret, if it is still accepted.
fn previous(key: &ApiKey, now: Timestamp) -> Option<&PreviousSecret> {
    let previous = key.status.as_ref()?.previous_secret.as_ref()?;
    (previous.valid_until.0 > now).then_some(previous)
}
