//! Waiting until a key is ready.

use std::time::Duration;

use super::exit::Failure;
use super::invocation::{Cluster, Invocation};
use super::{key, select};
use crate::api::{ApiKey, conditions};
use crate::object::Sent;

/// Time between looks. A watch would need a permission more than the one to read the key.
const EVERY: Duration = Duration::from_millis(300);

/// Where a key stands.
#[derive(Debug)]
enum Progress {
    Ready,
    Waiting(String),
    Failed(Failure),
}

/// Waits until the key is ready, with something that turns on a terminal.
///
/// # Errors
/// It will not be ready without a change, or was not in time.
pub(super) async fn until_ready(
    call: &Invocation,
    cluster: &Cluster,
    name: &str,
    longest: Duration,
) -> Result<Sent<ApiKey>, Failure> {
    let spinner = call.terminal.spinner("Waiting for the key");
    let mut last = "no controller has seen it".to_owned();
    let waiting = async {
        let mut tick = tokio::time::interval(EVERY);
        loop {
            tick.tick().await;
            let key = select::stored::<Sent<ApiKey>>(cluster, name).await?;
            let key = select::readable(key)?;
            match progress(&key.object) {
                Progress::Ready => return Ok(key),
                Progress::Failed(failure) => return Err(failure),
                Progress::Waiting(why) => {
                    spinner.say(&why);
                    last = why;
                }
            }
        }
    };
    let waited = tokio::time::timeout(longest, waiting).await;
    spinner.end();
    waited.unwrap_or_else(|_| {
        let (seconds, program) = (longest.as_secs(), &call.program);
        Err(Failure::timed_out(format!(
            "apikey/{name} was created and is not ready after {seconds} s: {last}; see `{program} \
             status {name}`, and `{program} check` for the operator"
        )))
    })
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
        let name = key::name(key);
        Progress::Failed(Failure::failed(format!(
            "apikey/{name} was created, but: {why}"
        )))
    } else {
        Progress::Waiting(why)
    }
}
