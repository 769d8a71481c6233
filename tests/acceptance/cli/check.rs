//! `kubectl apikey check`.

use crate::support::{Cluster, Scope};

#[tokio::test]
async fn check_names_what_is_missing_and_waits_for_it() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    scope.apply_key("ci", "");
    let before = scope.plugin(&["check"]);
    assert!(before.stdout.contains("✓ definitions"), "{before:?}");
    assert!(
        before.stdout.contains("✗ controller: there is no Lease"),
        "{before:?}"
    );
    assert!(
        before.stdout.contains("fix: start the operator"),
        "{before:?}"
    );
    before.failed(5);
    scope.plugin(&["check", "--wait", "1s"]).failed(6);
    let _operator = cluster.operator(&["--issuer-url", "http://127.0.0.1:1"]);
    let after = scope.plugin(&[
        "check",
        "--wait",
        "60s",
        "--url",
        cluster.control_plane.server_url(),
    ]);
    // The API server is no token server, and its certificate is its own.
    assert!(after.stdout.contains("✓ controller"), "{after:?}");
    assert!(after.stdout.contains("✗ token server"), "{after:?}");
    after.failed(6);
    scope.ready("ci").await;
    let delivered = scope.plugin(&["check", "-o", "json"]);
    let json = delivered.json();
    assert_eq!(json["healthy"], false, "{json}");
    assert_eq!(json["checks"][2]["state"], "ok", "{json}");
    assert_eq!(json["checks"][3]["state"], "failed", "{json}");
    delivered.failed(5);
    let server = cluster.token_server(&[]);
    server.ready().await;
    let url = format!("http://{}", server.address);
    let healthy = scope.plugin(&["check", "--url", &url]).done();
    assert_eq!(healthy.matches('✓').count(), 4, "{healthy}");
}

#[tokio::test]
async fn check_leaves_open_what_may_not_be_read() {
    let scope = Scope::shared().await;
    let outcome = scope.plugin(&[
        "check",
        "--as",
        "nobody",
        "--as-group",
        "system:authenticated",
    ]);
    assert!(outcome.stdout.contains("✓ definitions"), "{outcome:?}");
    assert!(outcome.stdout.contains("? controller"), "{outcome:?}");
    outcome.done();
}
