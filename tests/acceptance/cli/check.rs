//! `kubectl apikey check`.

use crate::support::{Cluster, Outcome, Scope, ahead, free_address};

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
    // The API server is not a token server, and its own certificate authority signs its certificate.
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

#[tokio::test]
async fn check_fails_for_a_key_that_is_stuck_and_not_for_one_that_has_expired() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let _operator = cluster.operator(&["--leader-elect=false"]);
    scope.apply_key("old", &format!("expiry: '{}'", ahead(3)));
    scope.apply_key("early", &format!("org: {}-undeclared", scope.org()));
    scope.refused("old", "Expired").await;
    scope.refused("early", "OrganizationNotFound").await;
    let lease = ["--operator-namespace", "apikey-operator"];
    let keys = |outcome: &Outcome| {
        let checks = outcome.json()["checks"].as_array().unwrap().clone();
        checks
            .into_iter()
            .find(|check| check["name"] == "keys")
            .unwrap()
    };
    let check = || scope.plugin(&[&["check", "-o", "json"][..], &lease].concat());
    let waits = keys(&check());
    assert_eq!(waits["state"], "ok", "{waits}");
    let fix = waits["fix"].as_str().unwrap();
    assert!(
        fix.contains("create the keys again with another `org`"),
        "{fix}"
    );

    scope.kubectl(&["create", "secret", "generic", "ci", "--from-literal=a=b"]);
    scope.apply_key("ci", "");
    scope.refused("ci", "SecretConflict").await;
    let checked = check();
    let stuck = keys(&checked);
    assert_eq!(stuck["state"], "failed", "{stuck}");
    let message = stuck["message"].as_str().unwrap();
    let named = format!("{}/ci (SecretConflict)", scope.namespace);
    assert!(
        message.contains(&named) && !message.contains("old"),
        "{message}"
    );
    let fix = stuck["fix"].as_str().unwrap();
    assert!(
        fix.contains(&format!("kubectl apikey status ci -n {}", scope.namespace)),
        "{fix}"
    );
    checked.failed(5);
}
