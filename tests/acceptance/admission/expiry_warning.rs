//! The creation of a key that has expired already gives a warning.

use crate::support::{Outcome, Scope, ahead, eventually};

const PAST: &str = "expiry: '2020-01-01T00:00:00Z'";

/// Makes a key as administrator.
fn create(scope: &Scope<'_>, name: &str, more: &str) -> Outcome {
    let yaml = scope.key_yaml(name, more);
    scope.kubectl_as("system:admin", &yaml, &["create", "-f", "-"])
}

impl Scope<'_> {
    /// `system:admin` of these tests is an administrator.
    fn with_administrator(self) -> Self {
        let binding = format!("admin-{}", self.namespace);
        self.kubectl(&[
            "create",
            "clusterrolebinding",
            &binding,
            "--clusterrole=cluster-admin",
            "--user=system:admin",
        ]);
        self
    }
}

#[tokio::test]
async fn a_key_whose_expiry_has_passed_is_made_with_a_warning_and_gets_no_secret() {
    let scope = Scope::shared().await.with_administrator();
    let warned = eventually("the policy is in force", async || {
        let made = create(&scope, "past", PAST);
        if made.stderr.contains("Warning") {
            return Some(made);
        }
        scope.try_kubectl(&["delete", "apikey", "past", "--ignore-not-found"]);
        None
    })
    .await;
    assert!(
        warned.stderr.contains("2020-01-01T00:00:00Z has passed")
            && warned.stderr.contains("gets no secret"),
        "{warned:?}"
    );
    warned.done();
    scope.refused("past", "Expired").await;
    assert!(scope.secrets().get_opt("past").await.unwrap().is_none());

    let again = scope.key_yaml("past", &format!("{PAST}, description: from Git"));
    let changed = scope.kubectl_as("system:admin", &again, &["apply", "-f", "-"]);
    assert!(!changed.stderr.contains("has passed"), "{changed:?}");
    changed.done();

    for (name, more) in [
        ("later", format!("expiry: '{}'", ahead(3600))),
        ("never", String::new()),
    ] {
        let made = create(&scope, name, &more);
        assert_eq!(made.stderr, "", "{made:?}");
        made.done();
    }
}
