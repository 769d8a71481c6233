//! The delivered Secret: shape, neighbours, conflicts, and self-healing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use apikey_api::{ApiKey, Phase, names};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::support::{Scope, eventually};

fn revision(wanted: i64) -> impl Fn(&ApiKey) -> bool {
    move |key| {
        key.status
            .as_ref()
            .is_some_and(|status| status.revision == Some(wanted))
    }
}

fn labels(secret: &Secret) -> &BTreeMap<String, String> {
    secret.metadata.labels.as_ref().unwrap()
}

#[tokio::test]
async fn name_keys_template_and_type_shape_the_secret() {
    let scope = Scope::shared().await;
    scope.apply_key(
        "ci",
        "name: login, secret: {name: shaped, keys: {name: API_KEY_NAME, secret: API_KEY_SECRET}, \
         template: {type: example.com/key, labels: {team: a}, annotations: {note: hello}}}",
    );
    let key = scope.ready("ci").await;
    let credential = scope.credential(&key).await;
    credential.assert_sound();
    assert_eq!(
        credential.delivered.metadata.name.as_deref(),
        Some("shaped")
    );
    assert_eq!(
        credential.delivered.type_.as_deref(),
        Some("example.com/key")
    );
    assert_eq!(credential.data("API_KEY_NAME"), "login");
    assert_eq!(credential.data("API_KEY_SECRET"), credential.data("secret"));
    assert_eq!(labels(&credential.delivered)["team"], "a");
    assert_eq!(
        labels(&credential.delivered)[names::LABEL_MANAGED_BY],
        names::MANAGED_BY
    );
    assert_eq!(
        credential.delivered.metadata.annotations.as_ref().unwrap()["note"],
        "hello"
    );
}

#[tokio::test]
async fn a_changed_template_changes_labels_and_not_the_value() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "secret: {template: {labels: {team: a, gone: b}}}");
    let key = scope.ready("ci").await;
    let before = scope.credential(&key).await.data("secret");
    scope.apply_key("ci", "secret: {template: {labels: {team: c}}}");
    eventually("the Secret has the template's labels", async || {
        let secret = scope.delivered("ci").await;
        let labels = labels(&secret);
        (labels["team"] == "c" && !labels.contains_key("gone")).then_some(())
    })
    .await;
    scope.apply_key("ci", "");
    eventually("the Secret has lost the template's labels", async || {
        (!labels(&scope.delivered("ci").await).contains_key("team")).then_some(())
    })
    .await;
    let credential = scope.credential(&key).await;
    credential.assert_sound();
    assert_eq!(credential.data("secret"), before);
}

async fn phase(scope: &Scope<'_>, key: &str) -> Option<Phase> {
    let key = scope.key(key, "known", |_| true).await;
    key.status.unwrap().phase
}

#[tokio::test]
async fn a_secret_of_somebody_else_is_never_touched() {
    let scope = Scope::shared().await;
    scope.kubectl(&["create", "secret", "generic", "ci", "--from-literal=mine=1"]);
    let before = scope.delivered("ci").await;
    scope.apply_key("ci", "");
    let message = scope.refused("ci", "SecretConflict").await;
    assert!(message.contains("delete the Secret"), "{message}");
    scope.wait("condition=Stalled", "apikey/ci");
    assert_eq!(scope.delivered("ci").await, before);
    assert_eq!(
        phase(&scope, "ci").await,
        Some(Phase::Active),
        "the operator minted a secret"
    );

    scope.kubectl(&["delete", "secret", "ci"]);
    let free = Instant::now();
    let key = scope.ready("ci").await;
    scope.credential(&key).await.assert_sound();
    let taken = free.elapsed();
    assert!(taken < Duration::from_secs(30), "{taken:?}");
}

#[tokio::test]
async fn two_keys_for_one_secret_the_second_is_refused() {
    let scope = Scope::shared().await;
    scope.apply_key("one", "secret: {name: shared}");
    scope.ready("one").await;
    scope.apply_key("two", "secret: {name: shared}");
    scope.refused("two", "SecretConflict").await;
    assert_eq!(
        phase(&scope, "two").await,
        Some(Phase::Pending),
        "the operator minted no secret"
    );
    let one = scope.ready("one").await;
    scope.credential(&one).await.assert_sound();
}

#[tokio::test]
async fn a_removed_secret_comes_back_as_the_next_revision() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    let key = scope.ready("ci").await;
    let before = scope.credential(&key).await;
    scope.kubectl(&["delete", "secret", "ci"]);
    let key = scope.key("ci", "replaced", revision(2)).await;
    let after = scope.credential(&key).await;
    after.assert_sound();
    assert_ne!(after.data("secret"), before.data("secret"));
    assert_eq!(after.data("key-id"), before.data("key-id"));
    let previous = after.document.previous.as_ref().unwrap();
    assert!(before.proves(previous), "the removed secret has no overlap");
    assert_eq!(key.status.unwrap().previous_secret.unwrap().revision, 1);
}

#[tokio::test]
async fn a_secret_that_is_removed_again_and_again_is_held_back() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    scope.ready("ci").await;
    for wanted in 2..=4 {
        scope.kubectl(&["delete", "secret", "ci"]);
        scope.key("ci", "replaced", revision(wanted)).await;
    }
    scope.kubectl(&["delete", "secret", "ci"]);
    scope.refused("ci", "SecretRemovedRepeatedly").await;
    assert!(scope.secrets().get_opt("ci").await.unwrap().is_none());
}

#[tokio::test]
async fn labels_annotations_and_data_of_others_survive_a_new_value() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    scope.ready("ci").await;
    scope.kubectl(&["label", "secret", "ci", "theirs=1"]);
    scope.kubectl(&["annotate", "secret", "ci", "theirs=2"]);
    scope.kubectl(&[
        "patch",
        "secret",
        "ci",
        "-p",
        r#"{"stringData":{"theirs":"3"}}"#,
    ]);
    // If the `verifier` annotation names no entry, the operator delivers a new secret.
    let annotation = format!("{}=0000000000000000", names::ANNOTATION_VERIFIER);
    scope.kubectl(&["annotate", "--overwrite", "secret", "ci", &annotation]);
    let key = scope.key("ci", "replaced", revision(2)).await;
    let credential = scope.credential(&key).await;
    credential.assert_sound();
    assert_eq!(labels(&credential.delivered)["theirs"], "1");
    assert_eq!(
        credential.delivered.metadata.annotations.as_ref().unwrap()["theirs"],
        "2"
    );
    assert_eq!(credential.data("theirs"), "3");
}

#[tokio::test]
async fn a_lost_record_is_recreated_with_another_key_id_whatever_the_status_has() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    let key = scope.ready("ci").await;
    let before = scope.credential(&key).await;
    scope.apply_key("other", "");
    let other = scope.ready("other").await.status.unwrap();
    let forged = serde_json::json!({"status": {"keyId": other.key_id, "revision": i64::MAX}});
    scope.kubectl(&[
        "patch",
        "apikey",
        "ci",
        "--subresource=status",
        "--type=merge",
        "-p",
        &forged.to_string(),
    ]);
    let record = names::record_secret(key.metadata.uid.as_deref().unwrap());
    scope
        .operator_secrets()
        .delete(&record, &DeleteParams::default())
        .await
        .unwrap();
    let old = before.data("key-id");
    let key = scope
        .key("ci", "minted again", |key| {
            let status = key.status.as_ref();
            let id = status.and_then(|status| status.key_id.as_ref());
            id.is_some_and(|id| *id != old && Some(id) != other.key_id.as_ref())
        })
        .await;
    assert_eq!(key.status.as_ref().unwrap().revision, Some(1));
    let after = scope.credential(&key).await;
    after.assert_sound();
    assert_ne!(after.data("key-id"), old);
    assert_ne!(Some(after.data("key-id")), other.key_id);
    assert_eq!(after.document.expires_at, before.document.expires_at);
}

#[tokio::test]
async fn a_damaged_record_stalls_the_key_and_the_message_names_the_way_out() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    let key = scope.ready("ci").await;
    let record = names::record_secret(key.metadata.uid.as_deref().unwrap());
    let half = serde_json::json!({"stringData": {(names::VERIFIER_DATA_KEY): "{\"version\":1,"}});
    let patch = Patch::Merge(half);
    scope
        .operator_secrets()
        .patch(&record, &PatchParams::default(), &patch)
        .await
        .unwrap();
    scope.apply_key("ci", "description: look again");
    let message = scope.refused("ci", "VerifierUnreadable").await;
    assert!(message.contains(&record), "{message}");
    scope
        .operator_secrets()
        .delete(&record, &DeleteParams::default())
        .await
        .unwrap();
    let key = scope.ready("ci").await;
    scope.credential(&key).await.assert_sound();
}

#[tokio::test]
async fn a_secret_whose_labels_somebody_takes_is_watched_all_the_same() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    let before = scope.credential(&scope.ready("ci").await).await;
    let [by, component] = [names::LABEL_MANAGED_BY, names::LABEL_COMPONENT];
    for edit in [
        json!({(component): null}),
        json!({(by): "Helm"}),
        json!({(by): null, (component): null}),
    ] {
        let edit = json!({"metadata": {"labels": edit}}).to_string();
        scope.kubectl(&["patch", "secret", "ci", "--type=merge", "--patch", &edit]);
        eventually("the operator restores the labels", async || {
            let secret = scope.delivered("ci").await;
            let labels = labels(&secret);
            let back = labels.get(by)? == names::MANAGED_BY
                && labels.get(component)? == names::COMPONENT_API_KEY;
            back.then_some(())
        })
        .await;
        let after = scope.delivered("ci").await;
        assert_eq!(after.data, before.delivered.data, "{edit}");
    }
    let nothing = json!({"metadata": {"labels": null}}).to_string();
    scope.kubectl(&["patch", "secret", "ci", "--type=merge", "--patch", &nothing]);
    scope.kubectl(&["delete", "secret", "ci"]);
    let key = scope.key("ci", "replaced", revision(2)).await;
    scope.credential(&key).await.assert_sound();
}

#[tokio::test]
async fn what_stands_beside_the_secret_is_put_right_as_well() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    scope.ready("ci").await;
    let edits = [
        r#"{"data": {"key-id": null}}"#,
        r#"{"stringData": {"organization-id": "x"}}"#,
    ];
    for (edit, wanted) in edits.into_iter().zip(2..) {
        scope.kubectl(&["patch", "secret", "ci", "--type=merge", "--patch", edit]);
        let key = scope.key("ci", "replaced", revision(wanted)).await;
        let after = scope.credential(&key).await;
        after.assert_sound();
        assert_eq!(after.data("key-id"), after.document.key_id.as_str());
        assert!(after.data("organization-id").len() == 36, "a UUID");
    }
}

#[tokio::test]
async fn a_value_that_nobody_is_known_to_have_written_is_replaced() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    let before = scope.credential(&scope.ready("ci").await).await;
    let unsigned = json!({"stringData": {"secret": "x"}, "metadata": {"managedFields": [{}]}});
    let unsigned = unsigned.to_string();
    scope.kubectl(&[
        "patch",
        "secret",
        "ci",
        "--type=merge",
        "--patch",
        &unsigned,
    ]);
    scope.key("ci", "replaced", revision(2)).await;

    let file = tempfile::NamedTempFile::new().unwrap();
    let copy = serde_json::to_string(&before.delivered).unwrap();
    let copy = copy.replacen('{', r#"{"apiVersion": "v1", "kind": "Secret", "#, 1);
    std::fs::write(file.path(), copy).unwrap();
    let file = file.path().to_str().unwrap();
    scope.kubectl(&["replace", "--force", "-f", file]);
    eventually(
        "the operator replaces a copy of an earlier value",
        async || {
            let key = scope.ready("ci").await;
            let now = scope.credential(&key).await;
            (now.proves(&now.document.current)).then_some(())
        },
    )
    .await;
}

#[tokio::test]
async fn a_value_that_somebody_edits_is_replaced_and_a_template_that_somebody_edits_is_put_back() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    scope.apply_key(
        "ci",
        "secret: {keys: {secret: PASSWORD}, template: {labels: {team: a}, annotations: {note: b}}}",
    );
    let before = scope.credential(&scope.ready("ci").await).await;
    for label in ["team=other", "team-"] {
        scope.kubectl(&["label", "secret", "ci", "--overwrite", label]);
        eventually("the Secret has the label of the template", async || {
            (labels(&scope.delivered("ci").await).get("team")? == "a").then_some(())
        })
        .await;
    }
    let edits = [
        r#"{"stringData": {"secret": "x"}}"#,
        r#"{"stringData": {"PASSWORD": "x"}}"#,
        r#"{"data": {"name": null}}"#,
    ];
    for (edit, wanted) in edits.into_iter().zip(2..) {
        scope.kubectl(&["patch", "secret", "ci", "--type=merge", "--patch", edit]);
        let key = scope.key("ci", "replaced", revision(wanted)).await;
        let after = scope.credential(&key).await;
        after.assert_sound();
        assert_ne!(after.data("secret"), before.data("secret"));
        assert_eq!(after.data("PASSWORD"), after.data("secret"));
        server.token_for(&after).await;
    }
    let untouched = [
        r#"{"stringData": {"mine": "x"}}"#,
        r#"{"metadata": {"labels": {"mine": "x"}, "annotations": {"mine": "x"}}}"#,
    ];
    for edit in untouched {
        scope.kubectl(&["patch", "secret", "ci", "--type=merge", "--patch", edit]);
    }
    scope.apply_key(
        "ci",
        "description: look again, secret: {keys: {secret: PASSWORD}, template: {labels: {team: a}}}",
    );
    scope.ready("ci").await;
    scope.key("ci", "left alone", revision(4)).await;
}
