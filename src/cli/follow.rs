//! Waiting until the operator has done something with a key.

use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::jiff::SignedDuration;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watch_object};
use tokio::time::{Instant, timeout_at};

use super::exit::Failure;
use super::invocation::Cluster;
use super::{key, time};
use crate::api::ApiKey;

/// Longest wait unless the user says otherwise.
pub(super) const DEFAULT_TIMEOUT: &str = "2m";

/// Watches one key until `found` has an answer or a failure. `what` is not so at the end of the time.
pub(super) async fn until<T>(
    cluster: &Cluster,
    name: &str,
    within: SignedDuration,
    what: &str,
    mut found: impl FnMut(&ApiKey) -> Result<Option<T>, Failure>,
) -> Result<T, Failure> {
    let within_time = Duration::try_from(within).unwrap_or(Duration::MAX);
    let end = Instant::now().checked_add(within_time);
    let end = end.unwrap_or_else(|| Instant::now() + Duration::from_hours(8784));
    let mut versions = Box::pin(watch_object(cluster.keys(), name).default_backoff());
    let mut last: Option<ApiKey> = None;
    let mut trouble = None;
    loop {
        match timeout_at(end, versions.next()).await {
            Ok(Some(Ok(Some(seen)))) => {
                if let Some(answer) = found(&seen)? {
                    return Ok(answer);
                }
                last = Some(seen);
            }
            Ok(Some(Ok(None))) => {
                return Err(Failure::not_found(format!(
                    "there is no ApiKey '{name}' any more"
                )));
            }
            Ok(Some(Err(error))) => trouble = Some(said(&error)?),
            Ok(None) => return Err(Failure::failed("the API server ended the watch")),
            Err(_) => return Err(late(name, what, within, last.as_ref(), trouble)),
        }
    }
}

/// What is wrong with a watch that may come back; the failure if it will not.
fn said(error: &watcher::Error) -> Result<String, Failure> {
    let refused = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => Some(status),
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchError(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => None,
    };
    match refused {
        Some(status) if status.code == 403 => Err(Failure::forbidden(format!(
            "{}; ask for that permission, or don't wait (--wait=false)",
            status.message
        ))),
        _ => Ok(error.to_string()),
    }
}

fn late(
    name: &str,
    what: &str,
    within: SignedDuration,
    last: Option<&ApiKey>,
    trouble: Option<String>,
) -> Failure {
    let ready = last.and_then(key::ready);
    let state = match (trouble, ready) {
        (Some(trouble), None) => trouble,
        (_, Some(ready)) => format!("Ready is {}: {}", ready.status, ready.message),
        (None, None) => "no operator has seen this key".to_owned(),
    };
    Failure::timed_out(format!(
        "{what} within {}. {state}. See that the operator runs (`kubectl apikey check`) and what it \
         says of the key (`kubectl apikey status {name}`)",
        time::short(within)
    ))
}
