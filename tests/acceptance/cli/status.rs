//! `kubectl apikey status`.

use apikey_api::conditions::{self, reason};

use crate::support::{Scope, eventually};

#[tokio::test]
async fn status_shows_the_key_and_everything_around_it_but_no_secret() {
    let scope = Scope::shared().await;
    let org = scope.org().to_owned();
    scope.declare(
        &org,
        "{allowedNamespaces: {from: All}, roles: [{key: viewer}]}",
    );
    scope.apply_key("ci", "roles: [viewer, deployer], description: uploads");
    let key = scope.ready("ci").await;
    let secret = scope.credential(&key).await.data("secret");
    let tree = eventually("the status shows the Events", async || {
        let tree = scope.plugin(&["status", "ci"]).done();
        (tree.contains("Normal Issued")).then_some(tree)
    })
    .await;
    for part in [
        "ApiKey ",
        "login name: ci",
        "description: uploads",
        "not in the catalogue: deployer",
        "declared",
        "exists, matches the status",
        "1: current",
        "Ready True Issued",
        "in 179d",
    ] {
        assert!(tree.contains(part), "{part} is missing in\n{tree}");
    }
    assert!(!tree.contains(&secret), "{tree}");
    let json = scope.plugin(&["status", "ci", "-o", "json"]).json();
    assert_eq!(json["metadata"]["name"], "ci");
}

#[tokio::test]
async fn status_names_what_may_not_be_read() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    scope.ready("ci").await;
    scope.kubectl(&["create", "role", "look", "--verb=get", "--resource=apikeys"]);
    scope.kubectl(&[
        "create",
        "rolebinding",
        "look",
        "--role=look",
        "--user=looker",
    ]);
    let tree = eventually("the role is in force", async || {
        let outcome = scope.plugin(&["status", "ci", "--as", "looker"]);
        (outcome.code == 0).then_some(outcome.stdout)
    })
    .await;
    assert_eq!(tree.matches("you may not read it").count(), 3, "{tree}");
    assert!(tree.contains("Ready True"), "{tree}");
}

#[tokio::test]
async fn status_recognizes_a_secret_that_is_not_ours() {
    let scope = Scope::shared().await;
    scope.kubectl(&["create", "secret", "generic", "ci", "--from-literal=a=b"]);
    scope.apply_key("ci", "");
    scope.refused("ci", "SecretConflict").await;
    let tree = scope.plugin(&["status", "ci"]).done();
    assert!(tree.contains("has another owner"), "{tree}");
    assert!(!tree.contains("or set another"), "{tree}");
    let possible = "or create the ApiKey again with another `secret.name`";
    assert!(tree.contains(possible), "{tree}");
    scope.apply_key("early", &format!("org: {}-undeclared", scope.org()));
    scope.refused("early", "OrganizationNotFound").await;
    let tree = scope.plugin(&["status", "early"]).done();
    assert!(
        tree.contains("not declared") && tree.contains("the key waits until it exists"),
        "{tree}"
    );
    let roles = "roles: viewer (none is in effect until the Organization exists)";
    assert!(tree.contains(roles), "{tree}");
    assert!(!tree.contains("not in the catalogue"), "{tree}");
    let missing = scope.plugin(&["status", "nothing"]).failed(3);
    assert!(missing.contains("'nothing'"), "{missing}");
}

#[tokio::test]
async fn status_shows_what_a_key_may_do_in_sub_organizations() {
    let scope = Scope::shared().await;
    let org = scope.org();
    scope.declare(
        org,
        "{allowedNamespaces: {from: All}, roles: [{key: viewer}, {key: editor}]}",
    );
    let sub = format!("{{parent: {org}, allowedNamespaces: {{from: All}}}}");
    scope.declare(&format!("{org}-sub"), &sub);
    scope.declare(&format!("{org}-other"), "{allowedNamespaces: {from: All}}");
    let more = format!(
        "roles: [viewer, editor], subOrgs: [{{org: {org}-sub, roles: [editor]}}, {{org: {org}-other}}, \
         {{org: {org}-typo}}]"
    );
    scope.apply_key("ci", &more);
    scope.ready("ci").await;
    let tree = scope.plugin(&["status", "ci"]).done();
    for part in [
        "Sub-organizations".to_owned(),
        format!("{org}-sub: editor"),
        format!(
            "{org}-other (left out: Organization '{org}-other' is not a sub-organization of \
             '{org}'"
        ),
        format!("{org}-typo (does not exist, left out)"),
    ] {
        assert!(tree.contains(&part), "{part} is missing in\n{tree}");
    }
}

#[tokio::test]
async fn a_revision_that_is_refused_is_shown_as_refused() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    scope.ready("ci").await;
    let nobodys = r#"{"metadata": {"ownerReferences": null}}"#;
    scope.kubectl(&["patch", "secret", "ci", "--type=merge", "-p", nobodys]);
    scope.refused("ci", "SecretConflict").await;
    let tree = scope.plugin(&["status", "ci"]).done();
    assert!(tree.contains("1: current"), "{tree}");
    scope
        .plugin(&["rotate", "ci", "--overlap", "0", "--wait=false"])
        .done();
    scope
        .key("ci", "held up", |key| {
            let all = &key.status.as_ref().unwrap().conditions;
            let delivered = conditions::find(all, conditions::DELIVERED);
            delivered.is_some_and(|d| d.reason == reason::DELIVERY_HELD_UP)
        })
        .await;
    let tree = scope.plugin(&["status", "ci"]).done();
    assert!(
        tree.contains("1: refused, and the next one is not delivered"),
        "{tree}"
    );
    assert!(!tree.contains("1: current"), "{tree}");
    assert!(
        tree.lines().next().unwrap().ends_with("Active,Refused"),
        "{tree}"
    );
    let table = scope.plugin(&["list"]).done();
    assert!(table.contains("Active,Refused"), "{table}");
}
