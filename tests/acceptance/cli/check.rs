//! `kubectl apikey check`.

use crate::support::{Cluster, Scope, free_address};

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
    let address = free_address();
    let url = format!("http://{address}");
    let server = cluster.token_server_at(address, &[]);
    let _operator = cluster.operator(&["--issuer-url", &url]);
    scope.plugin(&["check", "--wait", "60s"]).done();
    server.ready().await;
    scope.ready("ci").await;
    let healthy = scope.plugin(&["check"]).done();
    assert_eq!(healthy.matches('✓').count(), 4, "{healthy}");
    assert!(healthy.contains(&format!("{url} answers")), "{healthy}");
    // The API server is no token server, and vouches for itself.
    let other = cluster.control_plane.server_url();
    let outcome = scope.plugin(&["check", "-o", "json", "--url", other]);
    let json = outcome.json();
    assert_eq!(
        (&json["healthy"], &json["checks"][2]["state"]),
        (&false.into(), &"ok".into())
    );
    assert_eq!(json["checks"][3]["state"], "failed", "{json}");
    outcome.failed(5);
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
