//! A key becomes active, and the operator changes only its status.

use apikey_api::Phase;

use crate::support::Scope;

#[tokio::test]
async fn a_key_becomes_active_and_its_secret_verifies() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    let key = scope.ready("ci").await;
    let status = key.status.clone().unwrap();
    assert_eq!(status.phase, Some(Phase::Active));
    assert_eq!(status.revision, Some(1));
    let credential = scope.credential(&key).await;
    credential.assert_sound();
    assert_eq!(credential.data("name"), "ci");
    let id = apikey_policy::default_organization_id(scope.org()).to_string();
    assert_eq!(credential.data("organization-id"), id);
    let key_id = status.key_id.unwrap();
    let email = format!("ci.{}@{}.apikeys.internal", &key_id[..8], scope.org());
    assert_eq!(status.email, Some(email));
}

#[tokio::test]
async fn spec_and_metadata_of_a_key_are_never_written() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    let key = scope.ready("ci").await;
    let fields = key.metadata.managed_fields.unwrap();
    let ours: Vec<_> = fields
        .into_iter()
        .filter(|field| {
            field
                .manager
                .as_deref()
                .is_some_and(|m| m.starts_with("apikey-operator"))
        })
        .collect();
    assert_eq!(ours.len(), 1);
    assert_eq!(ours[0].subresource.as_deref(), Some("status"));
    let paths = ours[0].fields_v1.as_ref().unwrap().0.as_object().unwrap();
    assert_eq!(paths.keys().collect::<Vec<_>>(), ["f:status"]);
}

#[tokio::test]
async fn a_role_change_takes_effect_and_leaves_the_secret_alone() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "roles: [viewer]");
    scope.ready("ci").await;
    let before = scope.delivered("ci").await.metadata.resource_version;
    scope.apply_key("ci", "roles: [operator, viewer]");
    let has_both = |key: &apikey_api::ApiKey| {
        key.status
            .as_ref()
            .is_some_and(|status| status.roles == ["operator", "viewer"])
    };
    scope.key("ci", "given both roles", has_both).await;
    scope.ready("ci").await;
    assert_eq!(
        scope.delivered("ci").await.metadata.resource_version,
        before
    );
}

#[tokio::test]
async fn a_suspended_key_reports_it_and_keeps_its_secret() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    scope.ready("ci").await;
    let before = scope.delivered("ci").await.metadata.resource_version;
    scope.apply_key("ci", "suspended: true");
    scope.wait("condition=Suspended", "apikey/ci");
    assert_eq!(
        scope.delivered("ci").await.metadata.resource_version,
        before
    );
    scope.apply_key("ci", "suspended: false");
    scope.ready("ci").await;
}
