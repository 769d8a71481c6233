//! The columns that kubectl prints.

use crate::support::{Scope, eventually};

#[tokio::test]
async fn get_shows_organization_status_and_expiry_by_every_name() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "expiry: '2027-05-24T00:00:00Z'");
    scope.ready("ci").await;
    for name in ["apikeys", "apikey", "ak"] {
        let table = scope.kubectl(&["get", name]);
        let head: Vec<_> = table.lines().next().unwrap().split_whitespace().collect();
        assert_eq!(head, ["NAME", "ORG", "STATUS", "EXPIRES", "READY", "AGE"]);
        let row: Vec<_> = table.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(
            row[..5],
            ["ci", scope.org(), "Active", "2027-05-24T00:00:00Z", "True"]
        );
    }
    let wide = scope.kubectl(&["get", "apikeys", "-o", "wide"]);
    let head: Vec<_> = wide.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(
        head[6..],
        ["ROLES", "EMAIL", "SECRET", "LAST-USED", "REASON"]
    );
}

#[tokio::test]
async fn fields_can_be_selected() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    scope.apply_key("past", "expiry: '2020-01-01T00:00:00Z'");
    scope.ready("ci").await;
    scope.refused("past", "Expired").await;
    let names = |selector: &str| {
        scope.kubectl(&["get", "apikeys", "--field-selector", selector, "-o", "name"])
    };
    assert_eq!(
        names("status.phase=Expired").trim(),
        "apikey.apikey-operator.dev/past"
    );
    assert_eq!(
        names(&format!("spec.org={}", scope.org())).lines().count(),
        2
    );
    assert_eq!(names("spec.org=other"), "");
}

#[tokio::test]
async fn explain_is_a_manual() {
    let scope = Scope::shared().await;
    // The API server publishes the schema of a new definition a moment after it serves it.
    let explain = async |field: &str| {
        eventually("the API server publishes the schema", async || {
            scope.try_kubectl(&["explain", field])
        })
        .await
    };
    let text = explain("apikey.spec.expiry").await;
    assert!(
        text.contains("RFC 3339") && text.contains("Immutable"),
        "{text}"
    );
    let text = explain("organization.spec.limits.maxKeys").await;
    assert!(text.contains("oldest keys are admitted"), "{text}");
}
