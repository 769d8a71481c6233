//! What the tests share.

mod cluster;
mod key;
mod operator;
mod tls;
mod token;

pub(crate) use cluster::{Cluster, OPERATOR_NAMESPACE, Scope, run};
pub(crate) use key::{Credential, ready_reason};
pub(crate) use operator::Operator;
pub(crate) use tls::{Authority, TlsFiles};
pub(crate) use token::{Answer, TokenServer, basic, form, free_address, part_of, send};

use std::time::Duration;

/// Longest wait for anything that should happen soon. The garbage collector of Kubernetes learns of
/// new definitions every 30 seconds.
pub(crate) const SOON: Duration = Duration::from_secs(90);

/// Asks until there is an answer, and fails with `what` after [`SOON`].
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
