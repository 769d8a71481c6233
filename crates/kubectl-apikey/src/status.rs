//! `status`: reads one key and the objects related to it, and draws them as a tree.

mod tree;

use clap::Args;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ListParams, PartialObjectMeta};

use super::exit::Failure;
use super::format::{self, Machine};
use super::invocation::{Cluster, Invocation};
use super::organization::{self, Around, Seen, unreadable};
use super::pages::{self, Listed};
use super::select;
use apikey_api::ApiKey;
use apikey_client::error::request;
use apikey_client::object::{Answer, Sent, Unreadable};

/// Show one key with its organization, Secret, revisions, conditions and events.
///
/// No secret is read: only the metadata of the Secret is requested. If you may not read an object, the tree
/// shows that in its place.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Status {
    /// Name of the key.
    #[arg(value_name = "NAME")]
    name: String,

    /// Print the object instead, as the API server sent it, without `managedFields`.
    #[arg(short, long, value_name = "FORM")]
    output: Option<Machine>,
}

const EXAMPLES: &str = "\
Examples:
  See why a key is not ready:
    kubectl apikey status ci-upload

  Show a key of another namespace, in color, page by page:
    kubectl apikey status ci-upload -n team-a --color always | less -R";

/// Everything that the tree shows.
struct View {
    /// Name of the program, for hints.
    program: String,
    key: ApiKey,
    organizations: Around,
    secret: Seen<Option<PartialObjectMeta<Secret>>>,
    events: Seen<Listed<Event>>,
}

pub(super) async fn run(flags: &Status, call: &mut Invocation) -> Result<(), Failure> {
    let cluster = call.cluster().await?;
    if let Some(form) = flags.output {
        let key = select::stored::<Sent<Result<ApiKey, Unreadable>>>(&cluster, &flags.name).await?;
        let key = select::readable(key)?;
        return call
            .terminal
            .exact(&form.render(&format::sent(&key.whole)?)?);
    }
    let key = select::one(&cluster, &flags.name).await?;
    let view = Box::pin(observe(call.program.clone(), &cluster, key)).await;
    call.terminal.print(tree::render(&view, call.clock.now()))
}

async fn observe(program: String, cluster: &Cluster, key: ApiKey) -> View {
    let secret = cluster.metadata(cluster.here::<Secret>(), key.secret_name());
    let secret = request("read the Secret", secret);
    let (organizations, secret, events) = futures::join!(
        organization::around(cluster, &key),
        async { seen(secret.await) },
        events(cluster, &key),
    );
    View {
        program,
        key,
        organizations,
        secret,
        events,
    }
}

async fn events(cluster: &Cluster, key: &ApiKey) -> Seen<Listed<Event>> {
    let uid = key.metadata.uid.as_deref().unwrap_or_default();
    let params = ListParams::default().fields(&format!("regarding.uid={uid}"));
    let api: Api<Answer<Event>> = cluster.here();
    let events = pages::list(api, "read Events", params).await;
    events.map_err(|failure| unreadable(&failure))
}

fn seen<T>(answer: Result<T, apikey_client::error::Error>) -> Seen<T> {
    answer.map_err(|error| unreadable(&error.into()))
}
