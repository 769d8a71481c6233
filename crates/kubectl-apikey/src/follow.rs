//! Waiting until the operator has done something with a key.

use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;

use super::exit::{Exit, Failure};
use super::invocation::Cluster;
use super::{key, program, select, time};
use apikey_api::ApiKey;

/// Longest wait unless the user says otherwise.
pub(super) const DEFAULT_TIMEOUT: &str = "2m";
/// Time between looks. A watch would need a permission more than the one to read the key.
const EVERY: Duration = Duration::from_millis(300);

/// Looks at one key until `found` has an answer or a failure. `what` is not so at the end of the time. A
/// key that can't be read ends it: no time changes that.
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
                // The API server may be away for a moment.
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
            "{what} within {}. {last}. See that the operator runs (`kubectl apikey check`) and what \
             it says of the key (`{}`)",
            time::short(within),
            program::call("status", name, &cluster.namespace)
        )))
    })
}
