//! `kubectl apikey revoke`.

use crate::support::Scope;

#[tokio::test]
async fn nothing_is_revoked_without_a_yes() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    let refused = scope.plugin(&["revoke", "ci"]).failed(2);
    assert!(
        refused.contains("--yes") && refused.contains("--dry-run"),
        "{refused}"
    );
    let shown = scope.plugin(&["revoke", "ci", "--dry-run"]).done();
    assert_eq!(shown, "apikey/ci revoked (dry run)\n");
    let shown = scope.plugin(&["revoke", "ci", "--dry-run=server"]).done();
    assert_eq!(shown, "apikey/ci revoked (server dry run)\n");
    assert!(scope.keys().get_opt("ci").await.unwrap().is_some());
    let message = scope.plugin(&["revoke", "ci", "--yes"]).done();
    assert_eq!(message, "apikey/ci revoked\n");
    assert!(scope.keys().get_opt("ci").await.unwrap().is_none());
}

#[tokio::test]
async fn keys_of_one_organization_are_revoked_together() {
    let scope = Scope::shared().await;
    scope.apply_key("a", "");
    scope.apply_key("b", "");
    scope.apply_key("other", "org: other");
    let all = ["revoke", "--all", "--org", scope.org(), "--yes"];
    let message = scope.plugin(&all).done();
    assert_eq!(message, "apikey/a revoked\napikey/b revoked\n");
    assert!(scope.keys().get_opt("other").await.unwrap().is_some());
    let outcome = scope.plugin(&all);
    assert!(outcome.stderr.contains("No resources found"), "{outcome:?}");
    outcome.done();
}

#[tokio::test]
async fn a_secret_that_was_taken_from_its_key_stays_and_is_named() {
    let scope = Scope::shared().await;
    for name in ["ci", "other"] {
        scope.apply_key(name, "");
        scope.ready(name).await;
    }
    let nobodys = r#"{"metadata": {"ownerReferences": null}}"#;
    scope.kubectl(&["patch", "secret", "ci", "--type=merge", "-p", nobodys]);
    // A Secret of somebody else, which the key never owned.
    scope.kubectl(&[
        "create",
        "secret",
        "generic",
        "foreign",
        "--from-literal=a=b",
    ]);
    scope.apply_key("foreign", "");
    let revoked = scope.plugin(&["revoke", "ci", "other", "foreign", "--yes"]);
    let warning = format!(
        "warning: Secret 'ci' no longer belongs to apikey/ci, so it is not deleted, and its secret \
         is refused: kubectl delete secret ci -n {}",
        scope.namespace
    );
    assert!(revoked.stderr.contains(&warning), "{revoked:?}");
    assert_eq!(revoked.stderr.lines().count(), 1, "{revoked:?}");
    revoked.done();
    assert!(scope.secrets().get_opt("ci").await.unwrap().is_some());
}
