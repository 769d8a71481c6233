//! The API server refuses to change, add or remove a field that is fixed at creation.

use crate::support::Scope;

/// Applies `before`, then expects the API server to refuse `after` with this message.
async fn refuses(before: &str, after: &str, message: &str) {
    let scope = Scope::shared().await;
    scope.apply_key("ci", before);
    let error = scope
        .try_apply(&scope.key_yaml("ci", after))
        .expect_err(after);
    assert!(error.contains(message), "{error}");
    scope.apply_key("ci", before);
}

#[tokio::test]
async fn expiry() {
    let message = "`expiry` is immutable";
    let one = "expiry: '2027-05-24T00:00:00Z'";
    refuses(one, "expiry: '2027-05-25T00:00:00Z'", message).await;
    refuses("", one, message).await;
    refuses(one, "", message).await;
}

#[tokio::test]
async fn the_same_expiry_in_another_notation_is_accepted() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "expiry: '2027-05-24T00:00:00Z'");
    scope.apply_key("ci", "expiry: '2027-05-24T02:00:00+02:00'");
    scope.ready("ci").await;
}

#[tokio::test]
async fn name_and_organization() {
    let message = "`name` is immutable";
    refuses("name: a", "name: b", message).await;
    refuses("", "name: b", message).await;
    refuses("name: a", "", message).await;
    refuses("org: one-org", "org: other-org", "`org` is immutable").await;
}

#[tokio::test]
async fn name_of_the_delivered_secret() {
    let message = "`secret.name` is immutable";
    refuses("secret: {name: a}", "secret: {name: b}", message).await;
    refuses("", "secret: {name: b}", message).await;
    refuses("secret: {name: a}", "secret: {}", message).await;
    refuses("secret: {name: a}", "", message).await;
}

#[tokio::test]
async fn keys_and_type_of_the_delivered_secret() {
    let message = "`secret.keys` is immutable";
    refuses(
        "secret: {keys: {name: A}}",
        "secret: {keys: {name: B}}",
        message,
    )
    .await;
    refuses(
        "secret: {keys: {secret: A}}",
        "secret: {keys: {secret: B}}",
        message,
    )
    .await;
    refuses("", "secret: {keys: {name: B}}", message).await;
    refuses("secret: {keys: {name: A}}", "", message).await;
    let message = "`secret.template.type` is immutable";
    refuses(
        "secret: {template: {type: a}}",
        "secret: {template: {type: b}}",
        message,
    )
    .await;
    refuses("", "secret: {template: {type: b}}", message).await;
    refuses("secret: {template: {type: a}}", "", message).await;
}

#[tokio::test]
async fn id_and_parent_of_an_organization() {
    let scope = Scope::shared().await;
    let refuses = |name: &str, before: &str, after: &str, message: &str| {
        let yaml = |more: &str| {
            format!(
                "{{apiVersion: apikey-operator.dev/v1alpha1, kind: Organization, \
                 metadata: {{name: {}-{name}}}, spec: {{allowedNamespaces: {{from: All}}, {more}}}}}",
                scope.org()
            )
        };
        scope.apply(&yaml(before));
        let error = scope.try_apply(&yaml(after)).expect_err(after);
        assert!(error.contains(message), "{error}");
    };
    let (one, other) = (
        "id: 1f0c2a52-7b1d-4a38-9c2e-0f6f6f1f9a10",
        "id: 2f0c2a52-7b1d-4a38-9c2e-0f6f6f1f9a10",
    );
    refuses("a", one, other, "`id` is immutable");
    refuses("b", "", one, "`id` is immutable");
    refuses("c", other, "", "`id` is immutable");
    refuses(
        "d",
        "parent: one-org",
        "parent: other-org",
        "`parent` is immutable",
    );
    refuses("e", "", "parent: other-org", "`parent` is immutable");
    refuses("f", "parent: one-org", "", "`parent` is immutable");
}

#[tokio::test]
async fn sub_organizations_and_tokens_may_change_at_any_time() {
    let scope = Scope::shared().await;
    let most: Vec<_> = (0..32).map(|n| format!("{{org: sub-{n}}}")).collect();
    let most = format!("subOrgs: [{}]", most.join(", "));
    for more in [
        "subOrgs: [{org: a}, {org: b, roles: [viewer]}]",
        "subOrgs: [{org: b, roles: [admin, viewer]}], token: {ttlSeconds: 60}",
        "token: {ttlSeconds: 86400, audiences: ['https://a.example/x', urn:b]}",
        "token: {audiences: []}",
        most.as_str(),
        "",
    ] {
        scope.apply_key("ci", more);
        let key = scope.ready("ci").await;
        assert_eq!(
            key.status.unwrap().revision,
            Some(1),
            "the key keeps its secret"
        );
    }
}

/// Checks that the API server refuses these at creation, with the fix in the message.
#[tokio::test]
async fn nonsense_is_refused_at_creation_with_the_fix() {
    let scope = Scope::shared().await;
    let long = format!("name: {}", "x".repeat(56));
    for (more, message) in [
        ("expiry: tomorrow", "expiry"),
        ("roles: []", "roles"),
        ("roles: [a, a]", "roles"),
        ("name: Upper", "spec.name"),
        (long.as_str(), "spec.name"),
        (
            "org: one, subOrgs: [{org: one}]",
            "must not name `org` itself",
        ),
        ("subOrgs: [{org: a}, {org: a}]", "Duplicate value"),
        ("subOrgs: [{org: A}]", "spec.subOrgs[0].org"),
        ("subOrgs: [{org: a, roles: []}]", "spec.subOrgs[0].roles"),
        ("subOrgs: [{org: a, roles: [r, r]}]", "Duplicate value"),
        ("token: {ttlSeconds: 59}", "spec.token.ttlSeconds"),
        ("token: {ttlSeconds: 86401}", "spec.token.ttlSeconds"),
        ("token: {audiences: ['a b']}", "spec.token.audiences[0]"),
        ("token: {audiences: ['']}", "spec.token.audiences[0]"),
        ("token: {audiences: [a, a]}", "Duplicate value"),
        ("typo: 1", "unknown field \"spec.typo\""),
        (
            "secret: {keys: {name: secret}}",
            "the Secret already has these data keys",
        ),
        ("secret: {keys: {name: A, secret: A}}", "must differ"),
        (
            "secret: {template: {type: kubernetes.io/service-account-token}}",
            "use 'Opaque'",
        ),
        (
            "secret: {template: {labels: {app.kubernetes.io/managed-by: x}}}",
            "must not set",
        ),
        (
            "secret: {template: {labels: {argocd.argoproj.io/secret-type: cluster}}}",
            "as their own configuration",
        ),
        (
            "secret: {template: {annotations: {apikey-operator.dev/x: x}}}",
            "must not set",
        ),
    ] {
        let error = scope
            .try_apply(&scope.key_yaml("ci", more))
            .expect_err(more);
        assert!(error.contains(message), "{more}: {error}");
    }
    let name = "x".repeat(56);
    let error = scope.try_apply(&scope.key_yaml(&name, "")).unwrap_err();
    assert!(error.contains("at most 55 characters"), "{error}");
    scope.apply_key(&name, "name: short");
    for (spec, message) in [
        ("{}", "allowedNamespaces"),
        ("{allowedNamespaces: {from: Names}}", "`names` must be set"),
        (
            "{allowedNamespaces: {from: Selector}}",
            "`selector` must be set",
        ),
        ("{allowedNamespaces: {from: All}, id: x}", "spec.id"),
        (
            "{allowedNamespaces: {from: All}, limits: {defaultLifetimeDays: 9, maxLifetimeDays: 8}}",
            "must not exceed",
        ),
        (
            "{allowedNamespaces: {from: All}, limits: {maxTokenTTLSeconds: 59}}",
            "spec.limits.maxTokenTTLSeconds",
        ),
        (
            "{allowedNamespaces: {from: All}, audiences: ['a b']}",
            "spec.audiences[0]",
        ),
    ] {
        let yaml = format!(
            "{{apiVersion: apikey-operator.dev/v1alpha1, kind: Organization, \
             metadata: {{name: nonsense}}, spec: {spec}}}"
        );
        let error = scope.try_apply(&yaml).expect_err(spec);
        assert!(error.contains(message), "{spec}: {error}");
    }
}
