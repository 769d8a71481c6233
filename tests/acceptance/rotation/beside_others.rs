//! A rotation while others write to the Secret: it replaces only the observed value, and nothing that others wrote.

use apikey_api::{ApiKey, names};
use apikey_client::object::Decode as _;
use apikey_credential::{KeyId, Secret};
use apikey_operator::controller::apikey::render::{self, NewValue};
use apikey_operator::controller::delivered::Delivered;
use k8s_openapi::api::core::v1::Secret as CoreSecret;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::{Scope, now};

const NAME: &str = "copy";

/// A delivered Secret of a key without an operator.
async fn delivered(scope: &Scope<'_>, apikey: &ApiKey) -> Delivered {
    let gone = scope.try_kubectl(&["delete", "secret", NAME, "--ignore-not-found"]);
    assert!(gone.is_some());
    let secret = json!({
        "metadata": {
            "name": NAME,
            "labels": {"x": "1"},
            "annotations": {(names::ANNOTATION_VERIFIER): "0123"},
            "ownerReferences": [{
                "apiVersion": "apikey-operator.dev/v1alpha1", "kind": "ApiKey", "controller": true,
                "name": "ci", "uid": apikey.metadata.uid,
            }],
        },
        "data": {"secret": "YmVmb3Jl", "more": "eA=="},
    });
    let secret: CoreSecret = serde_json::from_value(secret).unwrap();
    let params = PostParams::default();
    let stored = scope.secrets().create(&params, &secret).await.unwrap();
    Delivered::decode(&serde_json::to_string(&stored).unwrap()).unwrap()
}

/// Replaces the observed value with another one.
async fn replace(
    scope: &Scope<'_>,
    apikey: &ApiKey,
    observed: &Delivered,
) -> Result<CoreSecret, kube::Error> {
    let secret = Secret::generate(&KeyId::from_entropy([1; 10])).unwrap();
    let value = NewValue {
        secret: &secret,
        sealed: None,
        revision: 2,
        entry_digest: "4567",
        key_id: secret.key_id(),
        organization_id: uuid::Uuid::nil(),
        expires_at: now(),
    };
    let operations = render::value_patch(apikey, &value, observed);
    let operations = Patch::<()>::Json(serde_json::from_value(operations).unwrap());
    let params = PatchParams::default();
    let replaced = scope.secrets().patch(NAME, &params, &operations).await;
    replaced.inspect(|now| {
        let data = now.data.as_ref().unwrap();
        assert_eq!(data["secret"].0, secret.expose().as_bytes());
    })
}

/// Changes the Secret by a merge patch.
fn tamper(scope: &Scope<'_>, patch: &Value) {
    let patch = patch.to_string();
    scope.kubectl(&["patch", "secret", NAME, "--type=merge", "-p", &patch]);
}

#[tokio::test]
async fn what_others_wrote_meanwhile_stays() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    let apikey = scope.ready("ci").await;
    let observed = delivered(&scope, &apikey).await;
    tamper(
        &scope,
        &json!({
            "metadata": {"labels": {"x": "2"}, "annotations": {"example.com/a": "1"}},
            "data": {"theirs": "eQ=="},
        }),
    );
    let now = replace(&scope, &apikey, &observed).await.unwrap();
    let (labels, annotations) = (now.metadata.labels, now.metadata.annotations);
    let (labels, annotations) = (labels.unwrap(), annotations.unwrap());
    assert_eq!(labels["x"], "2");
    assert_eq!(labels[names::LABEL_MANAGED_BY], names::MANAGED_BY);
    assert_eq!(annotations["example.com/a"], "1");
    assert_eq!(annotations[names::ANNOTATION_VERIFIER], "4567");
    assert_eq!(annotations[names::ANNOTATION_REVISION], "2");
    let data = now.data.unwrap();
    assert_eq!(
        (&*data["more"].0, &*data["theirs"].0),
        (&b"x"[..], &b"y"[..])
    );
}

#[tokio::test]
async fn a_secret_that_is_no_longer_the_one_that_was_observed_keeps_its_value() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    let apikey = scope.ready("ci").await;
    scope.apply_key("other", "");
    let other = scope.ready("other").await;
    let other_owner = json!([{
        "apiVersion": "apikey-operator.dev/v1alpha1", "kind": "ApiKey", "controller": true,
        "name": "other", "uid": other.metadata.uid,
    }]);
    let owner_that_controls_nothing = json!([{
        "apiVersion": "apikey-operator.dev/v1alpha1", "kind": "ApiKey", "controller": false,
        "name": "ci", "uid": apikey.metadata.uid,
    }]);
    for changed in [
        json!({"metadata": {"annotations": {(names::ANNOTATION_VERIFIER): "89ab"}}}),
        json!({"metadata": {"annotations": {(names::ANNOTATION_VERIFIER): null}}}),
        json!({"metadata": {"annotations": {(names::ANNOTATION_REVEALED_AT): "2026-01-01T00:00:00Z"}}}),
        json!({"metadata": {"ownerReferences": null}}),
        json!({"metadata": {"ownerReferences": other_owner}}),
        json!({"metadata": {"ownerReferences": owner_that_controls_nothing}}),
        json!({"data": null}),
    ] {
        let observed = delivered(&scope, &apikey).await;
        tamper(&scope, &changed);
        let before = scope.delivered(NAME).await;
        let refused = replace(&scope, &apikey, &observed).await;
        assert!(is_unprocessable(&refused), "{changed}: {refused:?}");
        assert_eq!(scope.delivered(NAME).await, before, "{changed}");
    }

    let of_before = delivered(&scope, &apikey).await;
    let another = delivered(&scope, &apikey).await;
    assert_ne!(of_before.uid, another.uid);
    assert!(is_unprocessable(
        &replace(&scope, &apikey, &of_before).await
    ));

    tamper(
        &scope,
        &json!({"metadata": {"finalizers": ["example.com/keep"]}}),
    );
    scope.kubectl(&["delete", "secret", NAME, "--wait=false"]);
    assert!(is_unprocessable(&replace(&scope, &apikey, &another).await));
    tamper(&scope, &json!({"metadata": {"finalizers": null}}));
}

/// The API server answers this to a JSON Patch with a failed operation.
fn is_unprocessable(answer: &Result<CoreSecret, kube::Error>) -> bool {
    matches!(answer, Err(kube::Error::Api(status)) if status.code == 422)
}
