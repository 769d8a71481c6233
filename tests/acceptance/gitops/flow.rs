//! The examples for Argo CD and Flux, applied like these tools do it: in order, and commit by commit.

use std::path::Path;

use serde_json::Value;

use super::argocd::SCRIPTS;
use super::judges::argocd;
use super::{documents, file, tree};
use crate::support::{Cluster, Scope, eventually, ready_reason, run};

const MANAGER: &str = "kustomize-controller";

/// Applies a folder or file as Flux does.
fn apply(scope: &Scope<'_>, path: &Path) {
    let mut kubectl = scope.cluster.control_plane.kubectl();
    let manager = format!("--field-manager={MANAGER}");
    run(kubectl
        .args(["apply", "--server-side", &manager, "-f"])
        .arg(path));
}

/// Makes a commit: replaces `from` in the file.
fn commit(folder: &Path, name: &str, from: &str, to: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{name} lacks {from}");
    std::fs::write(&path, text.replace(from, to)).unwrap();
    path
}

#[tokio::test]
async fn keys_of_the_example_are_made_rotated_suspended_and_revoked_from_git() {
    let cluster = Cluster::start();
    let _operator = cluster.operator(&[]);
    let scope = cluster.scope_of("builds".to_owned()).await;
    let clone = tempfile::tempdir().unwrap();
    let keys = clone.path();
    for entry in std::fs::read_dir(file("examples/gitops/keys")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, keys.join(path.file_name().unwrap())).unwrap();
    }
    apply(&scope, &file("examples/gitops/organizations"));
    apply(&scope, &keys.join("namespace.yaml"));
    apply(&scope, keys);
    let first = scope.rotated("ci-upload", "2026-11-24").await;
    let first = first.status.unwrap().revision;
    assert_eq!(
        first,
        Some(1),
        "the first secret answers the existing request"
    );
    let reason = |wanted: &'static str| {
        move |key: &_| ready_reason(key) == ("True".to_owned(), wanted.to_owned())
    };
    scope
        .key("dashboard", "suspended", reason("Suspended"))
        .await;

    let path = commit(
        keys,
        "ci-upload.yaml",
        "\"2026-11-24\"",
        "\"a laptop was lost\"",
    );
    apply(&scope, &path);
    let rotated = scope.rotated("ci-upload", "a laptop was lost").await;
    assert_eq!(rotated.status.unwrap().revision, Some(2));
    apply(&scope, &path);
    let path = commit(keys, "ci-upload.yaml", "spec:", "spec:\n  suspended: true");
    apply(&scope, &path);
    let suspended = scope
        .key("ci-upload", "suspended", reason("Suspended"))
        .await;
    assert_eq!(
        suspended.status.unwrap().revision,
        Some(2),
        "the operator answers each value once"
    );
    let path = commit(
        keys,
        "dashboard.yaml",
        "suspended: true",
        "suspended: false",
    );
    apply(&scope, &path);
    scope.ready("dashboard").await;

    // A key that was pruned and is in Git again is another key, with another secret and public id.
    let before = scope.keys().get("dashboard").await.unwrap().status.unwrap();
    scope.kubectl(&["delete", "apikey", "dashboard", "--wait"]);
    apply(&scope, &path);
    let after = scope.ready("dashboard").await.status.unwrap();
    assert_ne!(before.key_id, after.key_id);
}

/// Runs an action of Argo CD on a live key. `None` without Lua.
fn act(scope: &Scope<'_>, folder: &Path, key: &str, action: &str) -> Option<()> {
    let live = scope.kubectl(&["get", "apikey", key, "-o", "json"]);
    let live: Value = serde_json::from_str(&live).unwrap();
    let actions = file(SCRIPTS).join("ApiKey/actions");
    let offered = argocd(&actions.join("discovery.lua"), &live)?;
    assert_eq!(offered[action]["disabled"], false, "{action}: {offered}");
    let mut wanted = argocd(&actions.join(action).join("action.lua"), &live)?;
    let metadata = wanted["metadata"].as_object_mut().unwrap();
    metadata.remove("resourceVersion");
    let path = folder.join("wanted.json");
    std::fs::write(&path, wanted.to_string()).unwrap();
    scope.kubectl(&["replace", "-f", path.to_str().unwrap()]);
    Some(())
}

#[tokio::test]
async fn actions_of_argo_cd_do_what_they_declare_to_a_live_key() {
    let scope = Scope::shared().await;
    let folder = tempfile::tempdir().unwrap();
    scope.apply_key("ci", "rotation: {overlapSeconds: 3600}");
    scope.ready("ci").await;
    let act = |action| act(&scope, folder.path(), "ci", action);
    if act("rotate").is_none() {
        return;
    }
    let previous = async |wanted: Option<i64>| {
        eventually(
            &format!("the previous revision is {wanted:?}"),
            async || {
                let status = scope.keys().get("ci").await.unwrap().status?;
                let previous = status.previous_secret.map(|previous| previous.revision);
                (status.revision == Some(2) && previous == wanted).then_some(())
            },
        )
        .await;
    };
    previous(Some(1)).await;
    act("discard-previous").unwrap();
    previous(None).await;
    act("suspend").unwrap();
    let suspended = ("True".to_owned(), "Suspended".to_owned());
    let wanted = |key: &_| ready_reason(key) == suspended;
    scope.key("ci", "suspended", wanted).await;
    act("resume").unwrap();
    assert_eq!(scope.ready("ci").await.status.unwrap().revision, Some(2));
}

#[test]
fn definitions_come_before_organizations_and_those_before_keys() {
    let wave = |document: &Value| -> i64 {
        let annotations = &document["metadata"]["annotations"];
        let wave = annotations["argocd.argoproj.io/sync-wave"].as_str();
        wave.unwrap_or("0").parse().unwrap()
    };
    let mut kinds = Vec::new();
    for folder in ["examples/gitops/organizations", "examples/gitops/keys"] {
        for (path, document) in tree(folder) {
            let kind = document["kind"].as_str().unwrap().to_owned();
            let expected = match kind.as_str() {
                "Organization" => 1,
                "ApiKey" => 2,
                _ => 0,
            };
            assert_eq!(wave(&document), expected, "{}", path.display());
            if expected > 0 {
                let options = "argocd.argoproj.io/sync-options";
                let options = document["metadata"]["annotations"][options].as_str();
                let skip = "SkipDryRunOnMissingResource=true";
                assert_eq!(options, Some(skip), "{}", path.display());
            }
            kinds.push(kind);
        }
    }
    assert!(kinds.iter().any(|kind| kind == "Organization"));

    let steps = documents(&file("examples/gitops/flux/apikeys.yaml"));
    let steps: Vec<_> = steps
        .iter()
        .filter(|d| d["kind"] == "Kustomization")
        .collect();
    let mut before: Option<&str> = None;
    for step in &steps {
        let needed = step["spec"]["dependsOn"][0]["name"].as_str();
        assert_eq!(needed, before, "{}", step["metadata"]["name"]);
        assert_eq!(step["spec"]["wait"], true, "Flux does not wait for a step");
        assert_eq!(
            step["spec"]["retryInterval"], "1m",
            "Flux does not try a failed step again"
        );
        before = step["metadata"]["name"].as_str();
        let path = step["spec"]["path"].as_str().unwrap();
        assert!(file(path).is_dir(), "{path}");
    }
    assert_eq!(steps.len(), 3);
    let application = documents(&file("examples/gitops/argocd/application.yaml"));
    for source in application[0]["spec"]["sources"].as_array().unwrap() {
        let path = source["path"].as_str().unwrap();
        assert!(file(path).is_dir(), "{path}");
    }
}
