//! `kubectl apikey suspend` and `resume`.

use crate::support::Scope;

#[tokio::test]
async fn keys_are_suspended_and_resumed_by_name_and_by_label() {
    let scope = Scope::shared().await;
    for name in ["a", "b", "c"] {
        scope.apply_key(name, "");
    }
    scope.kubectl(&["label", "apikey", "a", "b", "team=web"]);
    let message = scope.plugin(&["suspend", "-l", "team=web"]).done();
    assert_eq!(message, "apikey/a suspended\napikey/b suspended\n");
    let suspended = async |name: &str| scope.keys().get(name).await.unwrap().spec.suspended;
    assert!(suspended("a").await && suspended("b").await && !suspended("c").await);
    let message = scope.plugin(&["resume", "a", "c"]).done();
    assert_eq!(message, "apikey/a resumed\napikey/c unchanged\n");
    assert!(!suspended("a").await);
    let outcome = scope.plugin(&["suspend", "a", "nothing"]);
    assert_eq!(outcome.stdout, "apikey/a suspended\n");
    let message = outcome.failed(1);
    assert!(
        message.contains("apikey/nothing: not found") && message.contains("1 of 2"),
        "{message}"
    );
    assert_eq!(scope.plugin(&["suspend", "nothing"]).code, 3);
    let unclear = scope.plugin(&["suspend"]).failed(2);
    assert!(unclear.contains("--all"), "{unclear}");
}

#[tokio::test]
async fn an_organization_that_does_not_exist_is_a_slip_and_one_without_keys_is_not() {
    let scope = Scope::shared().await;
    let org = scope.org();
    let typo = format!("{org}x");
    for verb in ["suspend", "resume", "revoke", "rotate", "discard-previous"] {
        let missing = scope.plugin(&[verb, "--all", "--org", &typo]).failed(3);
        let meant = format!("Organization '{typo}' does not exist (do you mean '{org}'?)");
        assert!(missing.contains(&meant), "{missing}");
        let none = scope.plugin(&[verb, "--all", "--org", org]);
        assert!(none.stderr.contains("No resources found"), "{none:?}");
        none.done();
    }
    // A user can also suspend a key that waits for its Organization.
    scope.apply_key("early", &format!("org: {typo}"));
    let message = scope.plugin(&["suspend", "--all", "--org", &typo]).done();
    assert_eq!(message, "apikey/early suspended\n");
}

#[tokio::test]
async fn what_a_tool_does_with_a_suspension_by_hand_is_described_correctly() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    let mark = "kustomize.toolkit.fluxcd.io/name=apps";
    scope.kubectl(&["label", "apikey", "ci", mark]);
    for verb in ["suspend", "resume"] {
        let outcome = scope.plugin(&[verb, "ci"]);
        let expected = "managed by Flux: this change is reverted if `suspended` is declared there";
        assert!(outcome.stderr.contains(expected), "{outcome:?}");
        outcome.done();
    }
}
