//! `kubectl apikey roles`.

use crate::support::Scope;

#[tokio::test]
async fn roles_change_and_the_secret_stays() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    let before = scope
        .credential(&scope.ready("ci").await)
        .await
        .data("secret");
    let roles = async |arguments: &[&str]| {
        let result = scope.plugin(&[&["roles"], arguments].concat()).done();
        let key = scope.keys().get("ci").await.unwrap();
        (result, key.spec.roles)
    };
    let (result, now) = roles(&["add", "ci", "deployer", "viewer"]).await;
    assert_eq!(
        (result.trim(), now),
        (
            "apikey/ci changed",
            vec!["viewer".into(), "deployer".into()]
        )
    );
    let (result, now) = roles(&["remove", "apikey/ci", "viewer"]).await;
    assert_eq!(
        (result.trim(), now),
        ("apikey/ci changed", vec!["deployer".into()])
    );
    let (result, _) = roles(&["set", "ci", "deployer"]).await;
    assert_eq!(result.trim(), "apikey/ci unchanged");
    let refused = scope
        .plugin(&["roles", "remove", "ci", "deployer"])
        .failed(2);
    assert!(refused.contains("at least one role"), "{refused}");
    let after = scope
        .credential(&scope.ready("ci").await)
        .await
        .data("secret");
    assert_eq!(before, after);
}

#[tokio::test]
async fn a_key_that_gitops_manages_is_changed_with_a_warning() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    scope.kubectl(&[
        "label",
        "apikey",
        "ci",
        "kustomize.toolkit.fluxcd.io/name=apps",
    ]);
    let outcome = scope.plugin(&["roles", "add", "ci", "deployer"]);
    assert!(outcome.stderr.contains("managed by Flux"), "{outcome:?}");
    outcome.done();
    assert_eq!(scope.plugin(&["roles", "add", "no", "x"]).code, 3);
}

#[tokio::test]
async fn changes_at_the_same_time_are_all_kept() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    let scope = &scope;
    std::thread::scope(|threads| {
        for role in ["a", "b", "c", "d"] {
            threads.spawn(move || scope.plugin(&["roles", "add", "ci", role]).done());
        }
    });
    let mut roles = scope.keys().get("ci").await.unwrap().spec.roles;
    roles.sort();
    assert_eq!(roles, ["a", "b", "c", "d", "viewer"]);
}

#[tokio::test]
async fn a_role_that_the_catalogue_lacks_is_given_with_a_warning() {
    let scope = Scope::shared().await;
    scope.declare(
        scope.org(),
        "{allowedNamespaces: {from: All}, roles: [{key: viewer}, {key: editor}]}",
    );
    scope.apply_key("ci", "");
    let result = scope.plugin(&["roles", "add", "ci", "editor"]);
    assert!(!result.stderr.contains("warning"), "{result:?}");
    let result = scope.plugin(&["roles", "add", "ci", "nonsense"]);
    assert!(
        result
            .stderr
            .contains("warning: [nonsense] not in the catalogue"),
        "{result:?}"
    );
    assert!(
        result.stderr.contains("which has [viewer, editor]"),
        "{result:?}"
    );
    assert_eq!(result.done(), "apikey/ci changed\n");
}

#[tokio::test]
async fn removing_the_last_role_in_force_prints_a_warning() {
    let scope = Scope::shared().await;
    scope.declare(
        scope.org(),
        "{allowedNamespaces: {from: All}, roles: [{key: viewer}, {key: editor}]}",
    );
    scope.apply_key("ci", "roles: [viewer, editor, nonsense]");
    let result = scope.plugin(&["roles", "remove", "ci", "editor"]);
    assert!(
        !result.stderr.contains("no role of the key is in effect"),
        "{result:?}"
    );
    let result = scope.plugin(&["roles", "remove", "ci", "viewer"]);
    let expected =
        "warning: no role of the key is in effect any more, so it gets no token: [nonsense] not in";
    assert!(result.stderr.contains(expected), "{result:?}");
    result.done();
}
