//! Connections to the API server that fail silently: no packet arrives, and none closes the connection. New
//! connections work.

use std::time::{Duration, Instant};

use crate::support::{Cluster, Login, eventually};

/// Longest time until a process sees changes again.
const BLIND: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_whose_connections_fall_silent_sees_changes_within_half_a_minute() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let tcp_proxy = cluster.tcp_proxy(Duration::ZERO).await;
    let operator = cluster.operator_through(&tcp_proxy, &["--leader-elect=false"]);
    scope.apply_key("before", "");
    scope.ready("before").await;
    let (mut longest, mut all) = (Duration::ZERO, Vec::new());
    for round in 0..3 {
        tcp_proxy.silence();
        let silent = Instant::now();
        let name = format!("after-{round}");
        scope.apply_key(&name, "");
        scope.ready(&name).await;
        all.push(silent.elapsed());
        longest = longest.max(silent.elapsed());
    }
    println!("a new key was minted after {all:.1?}");
    assert!(longest <= BLIND, "{longest:?}");
    assert!(operator.stderr().contains("A watch failed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_server_whose_connections_fall_silent_sees_changes_within_half_a_minute() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let _operator = cluster.operator(&["--leader-elect=false"]);
    let tcp_proxy = cluster.tcp_proxy(Duration::ZERO).await;
    let server = cluster.token_server_through(&tcp_proxy);
    server.ready().await;
    let mut logins = Vec::new();
    for name in ["a", "b", "c"] {
        let credential = scope.usable(&server, name, "").await;
        logins.push((name, Login::of(&credential)));
    }
    let (mut longest, mut all) = (Duration::ZERO, Vec::new());
    for (name, login) in &logins {
        tcp_proxy.silence();
        let silent = Instant::now();
        scope.kubectl(&["delete", "apikey", name]);
        eventually("the token server refuses a deleted key", async || {
            (server.token_of(login).status == 401).then_some(())
        })
        .await;
        all.push(silent.elapsed());
        longest = longest.max(silent.elapsed());
    }
    println!("a deleted key was refused after {all:.1?}");
    assert!(longest <= BLIND, "{longest:?}");
}

#[tokio::test]
async fn more_watches_than_a_connection_takes_are_all_open() {
    // The controller has three watches for each namespace, and the token server has two. An API server accepts
    // 100 streams on a connection.
    const NAMESPACES: usize = 60;
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let absent = (0..NAMESPACES).map(|n| format!("absent-{n:02}"));
    let watched: Vec<_> = absent.chain([scope.namespace.clone()]).collect();
    let watched = format!("--watch-namespaces={}", watched.join(","));
    let both = cluster.both(&["--leader-elect=false", &watched]);
    both.ready().await;
    scope.usable(&both, "ci", "").await;
}
