//! A user who may write only the status of keys can't add to the audit log or to Events.

use apikey_api::{ApiKey, ApiKeyStatus, Phase, conditions, names};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::CONTROLLER;
use crate::support::{Cluster, Operator, Scope, eventually};

/// An unknown role with characters that move a terminal's cursor and change the direction of text.
const FORGED: &str = "overlord\u{1b}[2J\u{202e}\u{9b}";
const FORGERIES: usize = 50;

fn condition(type_: &str, status: &str, reason: &str) -> Value {
    json!({"type": type_, "status": status, "reason": reason, "message": FORGED,
        "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

/// Forged statuses, each of a different kind.
fn forgery(n: usize) -> Value {
    let suspended = condition("Suspended", "True", "Suspended");
    let refused = condition("Ready", "False", "OrganizationNotFound");
    let revealed = condition("Delivered", "True", "Revealed");
    let soon = condition("ExpiringSoon", "True", "ExpiringSoon");
    let previous = json!({"revision": 77, "validUntil": "2090-01-01T00:00:00Z"});
    match n % 8 {
        0 => json!({"roles": [FORGED, n.to_string()]}),
        1 => json!({"conditions": [suspended]}),
        2 => json!({"keyId": null, "revision": null, "email": null}),
        3 => json!({"previousSecret": previous, "revision": 78}),
        4 => json!({"phase": "Expired", "conditions": [refused, revealed, soon]}),
        5 => json!({"observedGeneration": 0, "revision": 1}),
        6 => json!({"previousSecret": null, "keyId": "0123456789abcdef", "email": FORGED}),
        _ => {
            json!({"conditions": [], "phase": null, "keyId": null, "revision": null, "roles": [],
            "expiresAt": null, "previousSecret": null, "observedGeneration": -1})
        }
    }
}

async fn forge(scope: &Scope<'_>, status: &Value) {
    let patch = Patch::Merge(json!({"status": status}));
    let params = PatchParams::default();
    let keys = scope.keys();
    keys.patch_status("ci", &params, &patch).await.unwrap();
}

/// The part of a status that a writer could forge, without the times of conditions.
fn forgeable(key: &ApiKey) -> Value {
    let mut status = key.status.clone().unwrap_or_default();
    for condition in &mut status.conditions {
        condition.last_transition_time.0 = k8s_openapi::jiff::Timestamp::UNIX_EPOCH;
    }
    json!(status)
}

async fn is_put_right(scope: &Scope<'_>, truth: &Value) {
    scope
        .key("ci", "without the forged status", |key| {
            forgeable(key) == *truth
        })
        .await;
}

/// The actions in the audit lines of this namespace.
fn actions(scope: &Scope<'_>, operator: &Operator) -> Vec<String> {
    lines(scope, operator)
        .iter()
        .map(|line| line["action"].as_str().unwrap().to_owned())
        .collect()
}

fn lines(scope: &Scope<'_>, operator: &Operator) -> Vec<Value> {
    let lines = operator.audit().into_iter();
    lines
        .filter(|line| line["namespace"] == *scope.namespace)
        .collect()
}

/// Waits for an Event with this reason. Returns reasons and notes of the other Events of this namespace.
async fn notes_until(scope: &Scope<'_>, last: &str) -> Vec<(String, String)> {
    let events = Api::<Event>::namespaced(scope.client.clone(), &scope.namespace);
    eventually(&format!("the API server has an Event {last}"), async || {
        let events = events.list(&ListParams::default()).await.unwrap().items;
        let notes = events.into_iter().map(|event| {
            let (reason, note) = (event.reason, event.note);
            (reason.unwrap_or_default(), note.unwrap_or_default())
        });
        let (last, before): (Vec<_>, Vec<_>) = notes.partition(|(reason, _)| reason == last);
        (!last.is_empty()).then_some(before)
    })
    .await
}

fn set_suspended(scope: &Scope<'_>, suspended: bool) {
    scope.patch_key("ci", &format!(r#"{{"suspended": {suspended}}}"#));
}

/// A key whose replaced secret is still accepted.
async fn rotated(scope: &Scope<'_>) -> ApiKeyStatus {
    scope.apply_key("ci", "roles: [viewer]");
    scope.ready("ci").await;
    scope.rotate("ci", "1").await;
    let settled = scope.key("ci", "at rest", |key| {
        let status = key.status.as_ref().unwrap();
        status.phase == Some(Phase::Active)
            && status.previous_secret.is_some()
            && conditions::is_true(&status.conditions, conditions::READY)
    });
    settled.await.status.unwrap()
}

#[tokio::test]
async fn a_status_writer_adds_no_audit_line_and_no_event_to_the_life_of_a_key() {
    let cluster = Cluster::start();
    let operator = cluster.operator(&CONTROLLER);
    let scope = cluster.scope().await;
    rotated(&scope).await;
    let truth = forgeable(&scope.ready("ci").await);
    for n in 0..FORGERIES {
        forge(&scope, &forgery(n)).await;
        is_put_right(&scope, &truth).await;
    }
    assert_eq!(actions(&scope, &operator), ["Create", "Rotate"]);
    set_suspended(&scope, true);
    let notes = notes_until(&scope, "Suspended").await;
    let mut reasons: Vec<_> = notes.iter().map(|(reason, _)| reason.as_str()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["Issued", "Rotated"], "{notes:#?}");
    assert_eq!(actions(&scope, &operator), ["Create", "Rotate", "Suspend"]);
    assert!(!operator.stderr().contains("overlord"), "a forged role");

    // The operator logs a real change even if the forged status already contains it.
    forge(
        &scope,
        &json!({"previousSecret": null, "conditions": [], "roles": ["viewer"]}),
    )
    .await;
    scope
        .annotate("ci", &[(names::ANNOTATION_DISCARD_PREVIOUS, "1")])
        .await;
    set_suspended(&scope, false);
    eventually("the audit lines have both changes", async || {
        let mut actions = actions(&scope, &operator).split_off(3);
        actions.sort_unstable();
        (actions == ["Discard", "Resume"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_status_that_was_forged_while_no_controller_looked_makes_one_line_that_names_no_other_secret()
 {
    let cluster = Cluster::start();
    let operator = cluster.operator(&CONTROLLER);
    let scope = cluster.scope().await;
    let status = rotated(&scope).await;
    let truth = forgeable(&scope.ready("ci").await);
    operator.kill();
    let mut logged = Vec::new();
    for n in 0..8 {
        forge(&scope, &forgery(n)).await;
        let operator = cluster.operator(&CONTROLLER);
        is_put_right(&scope, &truth).await;
        let lines = lines(&scope, &operator);
        assert!(lines.len() <= 1, "{n}: {lines:#?}");
        logged.extend(lines);
        operator.kill();
    }
    for line in &logged {
        assert_eq!(line["keyId"].as_str(), status.key_id.as_deref(), "{line}");
        assert_eq!(line["actor"].as_str(), status.email.as_deref(), "{line}");
        assert_eq!(line["revision"], 2, "{line}");
        assert_ne!(line["action"], "Discard", "{line}");
        let text = line.to_string();
        assert!(!text.contains(['\u{202e}', '\u{9b}']), "{text:?}");
        assert!(!text.contains("\\u001b"), "{text:?}");
    }
    let operator = cluster.operator(&CONTROLLER);
    set_suspended(&scope, true);
    let notes = notes_until(&scope, "Suspended").await;
    for (reason, note) in notes {
        let shown = note.chars().all(|c| !c.is_control() && c != '\u{202e}');
        assert!(shown, "{reason}: {note:?}");
    }
    assert_eq!(actions(&scope, &operator), ["Suspend"]);
}
