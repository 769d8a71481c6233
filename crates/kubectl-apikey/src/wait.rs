//! Waits until a key is ready.

use std::time::{Duration, Instant};

use super::exit::Failure;
use super::invocation::{Cluster, Invocation};
use super::{key, organization, program, select};
use apikey_api::ApiKey;
use apikey_api::conditions::{self, reason};
use apikey_client::object::Sent;

/// Time between two reads. A watch would need an additional permission.
const EVERY: Duration = Duration::from_millis(300);

/// How long a controller may take to observe an existing Organization.
const UNSEEN: Duration = Duration::from_secs(3);
/// Reasons that a controller reports if an Organization is missing.
const WITHOUT_ORGANIZATION: [&str; 2] = [reason::ORGANIZATION_NOT_FOUND, reason::PARENT_NOT_FOUND];

/// The state of a key.
#[derive(Debug)]
enum Progress {
    Ready,
    Waiting(String),
    /// The Organization does not exist, according to the controller.
    WithoutOrganization(String),
    Failed(Failure),
}

/// Waits until the key is ready, and shows a spinner on a terminal.
///
/// # Errors
/// The key will not become ready without a change, or was not ready in time.
pub(super) async fn until_ready(
    call: &Invocation,
    cluster: &Cluster,
    name: &str,
    longest: Duration,
) -> Result<Sent<ApiKey>, Failure> {
    let spinner = call.terminal.spinner("Waiting for the key");
    let mut last = "no controller has seen it".to_owned();
    let waiting = async {
        let mut since = None;
        let mut tick = tokio::time::interval(EVERY);
        loop {
            tick.tick().await;
            let key = select::stored::<Sent<ApiKey>>(cluster, name).await?;
            let key = select::readable(key)?;
            match progress(&key.object) {
                Progress::Ready => return Ok(key),
                Progress::Failed(failure) => return Err(failure),
                Progress::WithoutOrganization(why) => {
                    let since = *since.get_or_insert_with(Instant::now);
                    if is_settled(cluster, &key.object, since).await {
                        return Err(created_but(name, &why));
                    }
                    last = why;
                }
                Progress::Waiting(why) => {
                    spinner.set_message(&why);
                    last = why;
                }
            }
        }
    };
    let waited = tokio::time::timeout(longest, waiting).await;
    spinner.end();
    waited.unwrap_or_else(|_| {
        let status = program::call("status", name, &cluster.namespace);
        Err(Failure::timed_out(format!(
            "apikey/{name} was created and is not ready after {} s: {last}; see `{status}`, and `kubectl \
             apikey check` for the operator",
            longest.as_secs()
        )))
    })
}

/// Whether the Organization really does not exist. A controller may not have observed a new Organization yet,
/// so if Organizations can't be read, it gets some time to do so.
async fn is_settled(cluster: &Cluster, key: &ApiKey, since: Instant) -> bool {
    let around = organization::around(cluster, key).await;
    if around.missing(key).is_some() {
        return true;
    }
    let is_open = around.own.is_err() || around.parent.is_err();
    is_open && since.elapsed() > UNSEEN
}

fn created_but(name: &str, why: &str) -> Failure {
    Failure::failed(format!("apikey/{name} was created, but: {why}"))
}

fn progress(key: &ApiKey) -> Progress {
    if !key::is_observed(key) {
        return Progress::Waiting("no controller has seen it".to_owned());
    }
    let all = key::conditions_of(key);
    let ready = key::ready(key);
    let why = ready.map_or_else(String::new, |ready| ready.message.clone());
    if conditions::is_true(all, conditions::READY) {
        Progress::Ready
    } else if conditions::is_true(all, conditions::EXPIRED) {
        Progress::Failed(Failure::no(why))
    } else if conditions::is_true(all, conditions::STALLED) {
        Progress::Failed(created_but(key::name(key), &why))
    } else if ready.is_some_and(|ready| WITHOUT_ORGANIZATION.contains(&&*ready.reason)) {
        Progress::WithoutOrganization(why)
    } else {
        Progress::Waiting(why)
    }
}
