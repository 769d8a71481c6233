//! A server that is stale for longer than `--max-staleness` serves nobody.

use crate::support::{Cluster, Login, eventually};

/// Watches are reopened every third of it, so a healthy server stays well below.
const MAX_SECONDS: f64 = 6.0;

#[tokio::test]
async fn a_server_that_is_stale_for_too_long_refuses_all_until_it_is_fresh_again() {
    let mut cluster = Cluster::start();
    let _controller = cluster.operator(&["--leader-elect=false"]);
    let server = cluster.token_server(&["--max-staleness=6s"]);
    let scope = cluster.scope().await;
    scope.apply_key("ci", "");
    let credential = scope.credential(&scope.ready("ci").await).await;
    server.ready().await;
    server.token_for(&credential).await;
    let key = Login::of(&credential);
    let bearer = format!("Bearer {}", server.token_of(&key).access_token());
    let staleness = || {
        server
            .process
            .metric("apikey_index_unheard_seconds")
            .unwrap()
    };
    cluster.control_plane.stop_apiserver();

    let refused = eventually("the server refuses the key", async || {
        let before = staleness();
        let answer = server.token_of(&key);
        assert!(
            answer.status == 200 || staleness() > MAX_SECONDS,
            "{answer:?}"
        );
        assert!(
            answer.status == 503 || before <= MAX_SECONDS,
            "the server accepted the key {before} s after the last update"
        );
        (answer.status == 503).then_some(answer)
    })
    .await;
    assert_eq!(refused.headers["retry-after"], "30");
    let passing = server.get("/authz/x", &[("Authorization", &bearer)]);
    let live = server.introspect(&key, &key.secret);
    let jwks = server.get("/oauth2/jwks", &[]);
    assert_eq!([passing.status, live.status, jwks.status], [503, 503, 200]);
    eventually("the server is not ready", async || {
        let (code, report) = server.process.get("/readyz")?;
        (code == 503 && report.contains("had no update for")).then_some(())
    })
    .await;

    cluster.control_plane.restart_apiserver().unwrap();
    eventually("the server serves the key again", async || {
        (server.token_of(&key).status == 200).then_some(())
    })
    .await;
    eventually("the server is ready again", async || {
        let (code, _) = server.process.get("/readyz")?;
        (code == 200).then_some(())
    })
    .await;
}
