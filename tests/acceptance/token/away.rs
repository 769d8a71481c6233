//! While the API server is away, keys are served from memory. Changes have their effect when it is back.

use std::collections::BTreeMap;
use std::net::TcpStream;

use crate::support::{
    ApiRequest, Cluster, Login, Scope, TokenServer, ahead, api_requests, eventually,
};

const ACCOUNT: &str = "apikey-operator-token";
/// The resources that the token server watches. Secrets are credential records, peppers and signing keys.
const WATCHES: [(&str, usize); 4] = [
    ("apikeys", 1),
    ("namespaces", 1),
    ("organizations", 1),
    ("secrets", 3),
];

/// Creates a key, and waits until the server knows it.
async fn login(scope: &Scope<'_>, server: &TokenServer, name: &str, more: &str) -> Login {
    scope.apply_key(name, more);
    let credential = scope.credential(&scope.ready(name).await).await;
    server.token_for(&credential).await;
    Login::of(&credential)
}

#[tokio::test]
async fn keys_are_served_and_expire_to_the_second_and_a_restarted_server_waits() {
    let mut cluster = Cluster::start();
    let controller = cluster.operator(&["--leader-elect=false"]);
    let server = cluster.token_server(&[]);
    server.ready().await;
    let scope = cluster.scope().await;
    let expiry = ahead(15);
    let short = login(&scope, &server, "short", &format!("expiry: '{expiry}'")).await;
    let good = login(&scope, &server, "good", "").await;
    controller.kill();
    cluster.control_plane.stop_apiserver();

    let restarted = cluster.token_server(&[]);
    let tokens = [&short, &good].map(|key| server.token_of(key).access_token());
    let active = |token: &str| server.introspect(&good, token).json()["active"].clone();
    assert_eq!(tokens.each_ref().map(|token| active(token)), [true, true]);
    super::assert_ends_at(expiry, &server, &short).await;
    assert_eq!(tokens.each_ref().map(|token| active(token)), [false, true]);
    assert_eq!(server.token_of(&good).status, 200);
    // The secret could be a new one that the server has not seen.
    assert_eq!(server.token_of(&good.forged(1)).status, 503);

    // The server has tried to connect and knows no keys. It is not ready, and its port is closed.
    restarted.process.logged("A watch failed").await;
    let (code, report) = restarted.process.get("/readyz").unwrap();
    assert_eq!(code, 503);
    assert!(
        report.contains("waiting for organizations, apikeys"),
        "{report}"
    );
    assert_eq!(restarted.process.get("/livez").unwrap().0, 200);
    TcpStream::connect(restarted.address)
        .expect_err("the port is open before the server knows any key");
    assert_eq!(server.process.get("/readyz").unwrap().0, 200);
}

#[tokio::test]
async fn what_changed_is_seen_when_it_is_back_without_a_restart_and_without_a_storm_of_lists() {
    let mut cluster = Cluster::start();
    let controller = cluster.operator(&["--leader-elect=false"]);
    let server = cluster.token_server(&["--record-last-used=false"]);
    server.ready().await;
    let scope = cluster.scope().await;
    let kept = login(&scope, &server, "kept", "").await;
    let doomed = login(&scope, &server, "doomed", "").await;
    let namespace = scope.namespace.clone();
    controller.kill();
    cluster.control_plane.stop_apiserver();
    server.process.logged("A watch failed").await;
    let restarted = cluster.token_server(&["--record-last-used=false"]);
    restarted.process.logged("A watch failed").await;
    let before = api_requests(&cluster, ACCOUNT).len();

    cluster.control_plane.restart_apiserver().unwrap();
    let _controller = cluster.operator(&["--leader-elect=false"]);
    let scope = cluster.scope_of(namespace).await;
    scope.kubectl(&["delete", "apikey", "doomed"]);
    let new = login(&scope, &server, "new", "").await;
    restarted.ready().await;
    for server in [&server, &restarted] {
        eventually("the token server refuses a deleted key", async || {
            (server.token_of(&doomed).status == 401).then_some(())
        })
        .await;
        eventually("the token server serves a new key", async || {
            (server.token_of(&new).status == 200).then_some(())
        })
        .await;
        assert_eq!(server.token_of(&kept).status, 200);
    }

    // Lists come as streams. A broken watch first requests one object, to see that the state was not set back.
    // The API server counts only that as a list. It refuses some requests while it starts. The token server repeats
    // these with growing delays, and they cost the API server nothing.
    let requests = &api_requests(&cluster, ACCOUNT)[before..];
    let mut lists = BTreeMap::<&str, usize>::new();
    for request in requests
        .iter()
        .filter(|r| r.verb == "list" && r.code == 200)
    {
        *lists.entry(&request.resource).or_default() += 1;
    }
    for (resource, watches) in WATCHES {
        let listed = lists.remove(resource).unwrap_or_default();
        assert!(listed <= 4 * watches, "{resource}: {listed}");
    }
    assert!(lists.is_empty(), "{lists:?}");
    let foreign = |r: &&ApiRequest| !["list", "watch"].contains(&r.verb.as_str());
    let foreign: Vec<_> = requests.iter().filter(foreign).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}
