//! Waits until the operator has changed a key.

use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;

use super::exit::{Exit, Failure};
use super::invocation::Cluster;
use super::{key, program, select, time};
use apikey_api::ApiKey;

/// Default of the maximum time to wait.
pub(super) const DEFAULT_TIMEOUT: &str = "2m";
/// Time between two reads. A watch would need an additional permission.
const EVERY: Duration = Duration::from_millis(300);

/// Reads one key until `found` returns an answer or a failure. `what` names the expected change in the
/// message of a timeout. A key that can't be decoded ends the wait, because waiting does not change that.
pub(super) async fn until<T>(
    cluster: &Cluster,
    name: &str,
    within: SignedDuration,
    what: &str,
    found: impl Fn(&ApiKey) -> Result<Option<T>, Failure>,
) -> Result<T, Failure> {
    let mut last = "no operator has seen this key".to_owned();
    let looking = async {
        let mut tick = tokio::time::interval(EVERY);
        loop {
            tick.tick().await;
            match select::stored(cluster, name).await {
                Ok(key) => {
                    let key = select::readable(key)?;
                    if let Some(answer) = found(&key)? {
                        return Ok(answer);
                    }
                    if let Some(ready) = key::ready(&key) {
                        last = format!("Ready is {}: {}", ready.status, ready.message);
                    }
                }
                // The API server may be unavailable for a moment.
                Err(failure) if matches!(failure.exit(), Exit::Failed | Exit::TimedOut) => {
                    failure.message().clone_into(&mut last);
                }
                Err(failure) => return Err(failure),
            }
        }
    };
    let longest = Duration::try_from(within).unwrap_or(Duration::MAX);
    let waited = tokio::time::timeout(longest, looking).await;
    waited.unwrap_or_else(|_| {
        Err(Failure::timed_out(format!(
            "{what} within {}. {last}. Check that the operator runs (`kubectl apikey check`), and \
             look at the status of the key (`{}`)",
            time::short(within),
            program::call("status", name, &cluster.namespace)
        )))
    })
}
