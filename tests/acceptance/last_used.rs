//! The token server writes `status.lastUsedAt`. The controller keeps it and does not use it.

use apikey_api::{ApiKey, names};

use crate::support::{Scope, eventually};

/// Writes `lastUsedAt` as the token server does.
fn use_at(scope: &Scope<'_>, time: &str) {
    let patch = format!(
        "{{\"apiVersion\": \"apikey-operator.dev/v1alpha1\", \"kind\": \"ApiKey\", \
         \"metadata\": {{\"name\": \"ci\"}}, \"status\": {{\"lastUsedAt\": \"{time}\"}}}}"
    );
    let file = scope.cluster.control_plane.dir().join(&scope.namespace);
    std::fs::write(&file, patch).unwrap();
    let manager = format!("--field-manager={}", names::LAST_USED_FIELD_MANAGER);
    scope.kubectl(&[
        "apply",
        "--server-side",
        "--subresource=status",
        &manager,
        "-f",
        file.to_str().unwrap(),
    ]);
}

fn last_use(key: &ApiKey) -> String {
    let status = key.status.as_ref().unwrap();
    status.last_used_at.as_ref().unwrap().0.to_string()
}

#[tokio::test]
async fn the_last_use_survives_the_controllers_writes_and_causes_none() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    let before = scope.ready("ci").await;
    let used = "2020-01-01T00:00:00Z";
    use_at(&scope, used);
    scope.apply_key("ci", "roles: [viewer, admin]");
    let has_both = |key: &ApiKey| key.status.as_ref().unwrap().roles.len() == 2;
    let changed = scope.key("ci", "with both roles", has_both).await;
    assert_eq!(last_use(&changed), used);
    assert_eq!(before.metadata.uid, changed.metadata.uid);

    let later = "2020-01-01T00:10:00Z";
    use_at(&scope, later);
    let version = scope.ready("ci").await.metadata.resource_version;
    // The controller handles watch events in order. When the other key is ready, it has handled the last
    // use of this one.
    scope.apply_key("other", "");
    scope.ready("other").await;
    let quiet = scope.ready("ci").await;
    assert_eq!(
        quiet.metadata.resource_version, version,
        "the controller wrote the status"
    );
    assert_eq!(last_use(&quiet), later);

    scope.apply_key("ci", "");
    let has_one = |key: &ApiKey| key.status.as_ref().unwrap().roles.len() == 1;
    let last = scope.key("ci", "with one role", has_one).await;
    assert_eq!(last_use(&last), later);
    let owners = last.metadata.managed_fields.unwrap();
    let owner = owners
        .iter()
        .find(|entry| entry.manager.as_deref() == Some(names::LAST_USED_FIELD_MANAGER))
        .unwrap();
    let fields = serde_json::to_string(&owner.fields_v1).unwrap();
    assert!(fields.contains("f:lastUsedAt"), "{fields}");

    let reasons = eventually(
        "the API server has an Event for each change of the spec",
        async || {
            let path = "-o=jsonpath={.items[*].reason}";
            let of_key = "--field-selector=regarding.name=ci";
            let text = scope.kubectl(&["get", "events.events.k8s.io", of_key, path]);
            let mut reasons: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
            reasons.sort();
            (reasons.len() >= 3).then_some(reasons)
        },
    )
    .await;
    assert_eq!(reasons, ["Issued", "Updated", "Updated"]);
    let wide = scope.kubectl(&["get", "apikey", "ci", "-o", "wide", "--no-headers"]);
    let age = wide.split_whitespace().nth(9).unwrap();
    assert!(age.contains('y'), "{age} in {wide}");
}
