//! Helpers that the tests share: a cluster, the programs, requests, faults.

mod cluster;
mod credential;
mod fault;
mod inside;
mod key;
mod lossy;
#[cfg(target_os = "linux")]
mod memory;
mod operator;
mod plugin;
mod proxy;
mod pty;
mod requests;
mod scope;
mod stored;
mod tcp_proxy;
mod tls;
mod token;

pub(crate) use cluster::{Cluster, OPERATOR_NAMESPACE, run};
pub(crate) use credential::Credential;
pub(crate) use fault::{Call, Fault, Faults, Harm, Kind, Moment, Object, Passing, Sort};
pub(crate) use inside::{Inside, MovedClock};
pub(crate) use key::ready_reason;
pub(crate) use lossy::Loss;
#[cfg(target_os = "linux")]
pub(crate) use memory::{Needle, found};
pub(crate) use operator::Operator;
pub(crate) use plugin::{Outcome, of_workspace, outcome, plugin_file};
pub(crate) use proxy::Proxy;
pub(crate) use pty::{BACKSPACE, DOWN, ENTER, ESC, press};
pub(crate) use requests::{ApiRequest, api_requests};
pub(crate) use scope::Scope;
pub(crate) use stored::{contains, is_stored};
pub(crate) use tls::{Authority, TlsFiles};
pub(crate) use token::{Answer, Login, TokenServer, basic, form, free_address, part_of, send};

use std::time::Duration;

use apikey_client::clock::Clock;
use k8s_openapi::jiff::Timestamp;

/// The longest that a test waits for a result. The garbage collector of Kubernetes looks for new
/// definitions every 30 seconds.
pub(crate) const SOON: Duration = Duration::from_secs(90);

/// Calls `ask` until it returns a value. Panics with `what` after [`SOON`].
pub(crate) async fn eventually<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    let asking = async {
        loop {
            tick.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    let answer = tokio::time::timeout(SOON, asking).await;
    answer.unwrap_or_else(|_| panic!("not within {} s: {what}", SOON.as_secs()))
}

/// The current time.
pub(crate) fn now() -> Timestamp {
    Clock::system().now()
}

/// The time this many seconds from now, in whole seconds.
pub(crate) fn ahead(seconds: i64) -> Timestamp {
    Timestamp::from_second(now().as_second() + seconds).unwrap()
}
