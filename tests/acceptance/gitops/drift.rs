//! What Git declares stays unchanged while the operator works.

use std::path::Path;

use apikey_api::{ApiKey, conditions};
use serde_json::{Value, json};

use crate::support::{Scope, run};

const TRACKING: &str = "argocd.argoproj.io/tracking-id";
const INSTANCE: &str = "app.kubernetes.io/instance";
const REQUEST: &str = "apikey-operator.dev/rotate-requested-at";
/// The number of rounds. In each, the operator changes the status at least three times.
const ROUNDS: usize = 4;

/// How a tool applies the files of Git.
#[derive(Clone, Copy)]
enum How {
    ServerSide(&'static str),
    ClientSide,
}

impl How {
    fn flags(self) -> Vec<String> {
        match self {
            Self::ServerSide(manager) => {
                vec!["--server-side".into(), format!("--field-manager={manager}")]
            }
            Self::ClientSide => Vec::new(),
        }
    }
}

/// The file in Git in a round: a request for a new secret, and another template.
fn declared(scope: &Scope<'_>, name: &str, round: usize) -> Value {
    let tracked = format!("keys:apikey-operator.dev/ApiKey:{}/{name}", scope.namespace);
    json!({
        "apiVersion": "apikey-operator.dev/v1alpha1",
        "kind": "ApiKey",
        "metadata": {
            "name": name,
            "namespace": scope.namespace,
            "labels": {(INSTANCE): "keys"},
            "annotations": {(TRACKING): tracked, (REQUEST): format!("round {round}")},
        },
        "spec": {
            "org": scope.org(),
            "roles": ["viewer", "builder"],
            "description": "from Git",
            "rotation": {"everyDays": 30, "overlapSeconds": 0},
            "secret": {"template": {"labels": {"round": round.to_string()}}},
        },
    })
}

fn kubectl(scope: &Scope<'_>, verb: &str, how: How, file: &Path) -> (bool, String) {
    let mut kubectl = scope.cluster.control_plane.kubectl();
    let output = kubectl
        .arg(verb)
        .args(how.flags())
        .arg("-f")
        .arg(file)
        .output();
    let output = output.unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    (output.status.success(), text)
}

/// Fails unless the tool has nothing to do.
fn assert_no_drift(scope: &Scope<'_>, how: How, file: &Path) {
    let (same, message) = kubectl(scope, "diff", how, file);
    assert!(same && message.is_empty(), "{message}");
}

fn assert_only_status_is_ours(key: &ApiKey) {
    let fields = key.metadata.managed_fields.iter().flatten();
    let ours = fields.filter(|field| {
        let manager = field.manager.as_deref();
        manager.is_some_and(|manager| manager.starts_with("apikey-operator"))
    });
    let ours: Vec<_> = ours.collect();
    assert!(!ours.is_empty());
    for field in ours {
        assert_eq!(field.subresource.as_deref(), Some("status"), "{field:?}");
        let paths = field.fields_v1.as_ref().unwrap().0.as_object().unwrap();
        assert_eq!(paths.keys().collect::<Vec<_>>(), ["f:status"]);
    }
}

/// A key without its status and without the fields that the API server writes.
fn face(key: &ApiKey) -> Value {
    let mut annotations = key.metadata.annotations.clone().unwrap_or_default();
    annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    json!({
        "spec": key.spec,
        "labels": key.metadata.labels,
        "annotations": annotations,
        "finalizers": key.metadata.finalizers,
        "owners": key.metadata.owner_references,
    })
}

async fn lives_from_git(how: How, name: &str) {
    let scope = Scope::shared().await;
    scope.declare(
        scope.org(),
        "{allowedNamespaces: {from: All}, roles: [{key: viewer}, {key: builder}]}",
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.json");
    for round in 0..ROUNDS {
        // A commit: a new secret, another template.
        let declared = declared(&scope, name, round);
        std::fs::write(&file, declared.to_string()).unwrap();
        let (done, message) = kubectl(&scope, "apply", how, &file);
        assert!(done, "no conflict with the operator: {message}");
        let key = scope.rotated(name, &format!("round {round}")).await;
        let key_face = face(&key);
        assert_eq!(key_face["labels"], declared["metadata"]["labels"]);
        let mut from_git = key_face["annotations"].clone();
        from_git.as_object_mut().unwrap().remove("example.com/seen");
        assert_eq!(from_git, declared["metadata"]["annotations"]);
        assert_no_drift(&scope, how, &file);

        // Somebody else sets a field as another manager, suspends the key and resumes it.
        // The operator reconciles the key twice more, each time with a new status.
        scope
            .annotate(name, &[("example.com/seen", &round.to_string())])
            .await;
        for suspended in [true, false] {
            let patch = format!("{{\"spec\": {{\"suspended\": {suspended}}}}}");
            let patch = ["patch", "apikey", name, "--type=merge", "-p", &patch];
            scope.kubectl(&[&patch[..], &["--field-manager=somebody"]].concat());
            let reason = if suspended { "Suspended" } else { "Issued" };
            scope
                .key(name, reason, |key| {
                    crate::support::ready_reason(key) == ("True".into(), reason.into())
                })
                .await;
        }
        // The operator replaces a removed Secret. A second time would meet the limit for replacements.
        if round == 1 {
            scope.kubectl(&["delete", "secret", name]);
            let before = key.status.as_ref().unwrap().revision;
            scope
                .key(name, "replaced", |key| {
                    key.status.as_ref().unwrap().revision > before
                })
                .await;
        }
        let after = scope.ready(name).await;
        let mut expected = key_face;
        expected["annotations"]["example.com/seen"] = json!(round.to_string());
        assert_eq!(
            face(&after),
            expected,
            "the operator writes only the status"
        );
        assert_only_status_is_ours(&after);
        assert_no_drift(&scope, how, &file);
    }
    let key = scope.ready(name).await;
    let delivered = scope.delivered(name).await.metadata;
    let labels = delivered.labels.unwrap();
    assert_eq!(
        labels["round"],
        (ROUNDS - 1).to_string(),
        "the Secret matches the template"
    );
    let annotations = delivered.annotations.unwrap();
    for mark in labels.keys().chain(annotations.keys()) {
        let of_a_tool = mark.contains("argocd") || mark.contains("fluxcd") || mark == INSTANCE;
        assert!(!of_a_tool && !mark.contains("last-applied"), "{mark}");
    }
    // Argo CD shows the Secret below the key, because the key is its owner.
    let owner = &delivered.owner_references.unwrap()[0];
    assert_eq!(Some(&owner.uid), key.metadata.uid.as_ref());
    // The tool detects a change of a field that is in Git.
    scope.patch_key(name, r#"{"description": "by hand"}"#);
    let (same, message) = kubectl(&scope, "diff", how, &file);
    assert!(!same && message.contains("description"), "{message}");
}

#[tokio::test]
async fn a_key_that_argo_cd_applies_by_server_side_apply_does_not_drift() {
    lives_from_git(How::ServerSide("argocd-controller"), "argo").await;
}

#[tokio::test]
async fn a_key_that_flux_applies_does_not_drift() {
    lives_from_git(How::ServerSide("kustomize-controller"), "flux").await;
}

#[tokio::test]
async fn a_key_that_argo_cd_applies_by_client_side_apply_does_not_drift() {
    lives_from_git(How::ClientSide, "client").await;
}

#[tokio::test]
async fn an_organization_that_is_applied_from_git_does_not_drift() {
    let scope = Scope::shared().await;
    let how = How::ServerSide("argocd-controller");
    let organization = json!({
        "apiVersion": "apikey-operator.dev/v1alpha1",
        "kind": "Organization",
        "metadata": {"name": scope.org(), "annotations": {(TRACKING): "keys:x"}},
        "spec": {"allowedNamespaces": {"from": "All"}, "roles": [{"key": "viewer"}]},
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("organization.json");
    std::fs::write(&file, organization.to_string()).unwrap();
    let (done, message) = kubectl(&scope, "apply", how, &file);
    assert!(done, "{message}");
    for n in 1..=3 {
        let name = format!("key-{n}");
        scope.apply_key(&name, "");
        scope.ready(&name).await;
        let counted = format!("jsonpath={{.status.activeKeys}}={n}");
        let org = format!("organization/{}", scope.org());
        scope.wait(&counted, &org);
        assert_no_drift(&scope, how, &file);
    }
    let mut get = scope.cluster.control_plane.kubectl();
    let get = get.args([
        "get",
        "organization",
        scope.org(),
        "-o",
        "json",
        "--show-managed-fields",
    ]);
    let live: Value = serde_json::from_str(&run(get)).unwrap();
    assert_eq!(
        live["metadata"]["annotations"],
        organization["metadata"]["annotations"]
    );
    for field in live["metadata"]["managedFields"].as_array().unwrap() {
        let ours = field["manager"]
            .as_str()
            .unwrap()
            .starts_with("apikey-operator");
        assert!(!ours || field["subresource"] == "status", "{field}");
    }
}

#[tokio::test]
async fn a_role_that_somebody_else_applies_stays_when_git_is_applied_again() {
    let scope = Scope::shared().await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, roles: &[&str]| {
        let mut key = declared(&scope, "ci", 0);
        key["spec"] = json!({"org": scope.org(), "roles": roles});
        let path = folder.path().join(name);
        std::fs::write(&path, key.to_string()).unwrap();
        path
    };
    let git = file("git.json", &["viewer"]);
    let other = file("other.json", &["builder"]);
    let tool = How::ServerSide("argocd-controller");
    for (how, file) in [
        (tool, &git),
        (How::ServerSide("somebody"), &other),
        (tool, &git),
    ] {
        let (done, message) = kubectl(&scope, "apply", how, file);
        assert!(done, "{message}");
    }
    // docs/gitops.md warns about this.
    let key = scope.ready("ci").await;
    let roles: Vec<_> = key.spec.roles.iter().map(String::as_str).collect();
    assert!(
        roles.contains(&"viewer") && roles.contains(&"builder"),
        "{roles:?}"
    );
    assert_no_drift(&scope, tool, &git);
}

#[tokio::test]
async fn a_request_that_git_puts_back_after_one_by_hand_is_not_answered_again() {
    let scope = Scope::shared().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.json");
    std::fs::write(&file, declared(&scope, "ci", 0).to_string()).unwrap();
    let mut kubectl = scope.cluster.control_plane.kubectl();
    let apply = kubectl.args(["apply", "--server-side", "--force-conflicts"]);
    let apply = apply
        .arg("--field-manager=kustomize-controller")
        .arg("-f")
        .arg(&file);
    run(apply);
    let revision = |key: ApiKey| key.status.unwrap().revision.unwrap();
    assert_eq!(revision(scope.rotated("ci", "round 0").await), 1);
    assert_eq!(revision(scope.rotate("ci", "by hand").await), 2);
    run(apply);
    // When the operator has handled a later change, it has also read what Git restored.
    scope.patch_key("ci", r#"{"suspended": true}"#);
    let seen = scope.key("ci", "suspended", |key| {
        key.status
            .as_ref()
            .is_some_and(|status| conditions::is_true(&status.conditions, conditions::SUSPENDED))
    });
    assert_eq!(revision(seen.await), 2);
}
