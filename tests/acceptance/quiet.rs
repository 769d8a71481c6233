//! When nothing changes, the operator writes nothing.

use std::time::Duration;

use kube::api::ListParams;

use crate::support::{ApiRequest, Cluster, api_requests, eventually, ready_reason};

const KEYS: usize = 200;
const WATCHED_FOR: Duration = Duration::from_mins(1);

/// The operator's requests so far, without those for the lease.
fn requests(cluster: &Cluster) -> Vec<ApiRequest> {
    let mut requests = api_requests(cluster, "apikey-operator");
    requests.retain(|request| request.resource != "leases");
    requests
}

#[tokio::test]
async fn a_minute_with_two_hundred_keys_passes_without_a_write_or_a_poll() {
    let cluster = Cluster::start();
    let _operator = cluster.operator(&[]);
    let scope = cluster.scope().await;
    scope.declare(scope.org(), "{allowedNamespaces: {from: All}}");
    let all: Vec<_> = (0..KEYS)
        .map(|n| scope.key_yaml(&format!("key-{n}"), ""))
        .collect();
    scope.apply(&all.join("\n---\n"));
    let keys = scope.keys();
    eventually("all keys are ready", async || {
        let list = keys.list(&ListParams::default()).await.unwrap().items;
        let ready = |key: &_| ready_reason(key).0 == "True";
        (list.len() == KEYS && list.iter().all(ready)).then_some(())
    })
    .await;
    // Late writes (Events, the organization's counts) have arrived when the number stays the same.
    let mut before = requests(&cluster).len();
    let mut tick = tokio::time::interval(Duration::from_secs(7));
    tick.tick().await;
    loop {
        tick.tick().await;
        let now = requests(&cluster).len();
        if now == std::mem::replace(&mut before, now) {
            break;
        }
    }
    let _ = tokio::time::timeout(WATCHED_FOR, std::future::pending::<()>()).await;
    let after = requests(&cluster);
    let since = &after[before..];
    let polled: Vec<_> = since
        .iter()
        .filter(|request| request.verb != "watch")
        .collect();
    assert!(polled.is_empty(), "{polled:?}");
}
