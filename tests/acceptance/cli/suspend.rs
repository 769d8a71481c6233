//! `kubectl apikey suspend` and `resume`.

use crate::support::Scope;

#[tokio::test]
async fn keys_are_suspended_and_resumed_by_name_and_by_label() {
    let scope = Scope::shared().await;
    for name in ["a", "b", "c"] {
        scope.apply_key(name, "");
    }
    scope.kubectl(&["label", "apikey", "a", "b", "team=web"]);
    let said = scope.plugin(&["suspend", "-l", "team=web"]).done();
    assert_eq!(said, "apikey/a suspended\napikey/b suspended\n");
    let suspended = async |name: &str| scope.keys().get(name).await.unwrap().spec.suspended;
    assert!(suspended("a").await && suspended("b").await && !suspended("c").await);
    let said = scope.plugin(&["resume", "a", "c"]).done();
    assert_eq!(said, "apikey/a resumed\napikey/c unchanged\n");
    assert!(!suspended("a").await);
    let outcome = scope.plugin(&["suspend", "a", "nothing"]);
    assert_eq!(outcome.stdout, "apikey/a suspended\n");
    let said = outcome.failed(1);
    assert!(
        said.contains("apikey/nothing: not found") && said.contains("1 of 2"),
        "{said}"
    );
    assert_eq!(scope.plugin(&["suspend", "nothing"]).code, 3);
    let unclear = scope.plugin(&["suspend"]).failed(2);
    assert!(unclear.contains("--all"), "{unclear}");
}
