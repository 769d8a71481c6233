//! The installation of the plugin, and its completion in kubectl.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use apikey_credential::hex;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::support::{Outcome, Scope, outcome, plugin_file, run};

fn checkout() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// `kubectl __complete apikey ...`, as the shell asks kubectl.
fn complete(scope: &Scope<'_>, words: &[&str]) -> Outcome {
    let plugin = scope.plugin_command();
    let path = plugin.get_envs().find(|(name, _)| *name == "PATH");
    let mut all = checkout().join("hack/krew").into_os_string();
    all.push(":");
    all.push(path.and_then(|(_, value)| value).unwrap());
    let mut kubectl = scope.cluster.control_plane.kubectl();
    let kubectl = kubectl
        .env("PATH", all)
        .args(["__complete", "apikey"])
        .args(words);
    outcome(kubectl, "")
}

#[tokio::test]
async fn kubectl_completes_verbs_flags_and_names_of_keys() {
    let scope = Scope::shared().await;
    scope.apply_key("ci-upload", "");
    scope.apply_key("other", "");
    scope.ready("ci-upload").await;
    let verbs = complete(&scope, &["rev"]).done();
    assert!(
        verbs.contains("reveal\t") && verbs.contains("revoke\t"),
        "{verbs}"
    );
    assert!(!verbs.contains("rotate") && verbs.contains(":4"), "{verbs}");
    let flags = complete(&scope, &["rotate", "--over"]).done();
    assert!(flags.contains("--overlap\t"), "{flags}");
    let names = complete(&scope, &["-n", &scope.namespace, "rotate", "c"]).done();
    let message = format!("ci-upload\tActive, of {}\n", scope.org());
    assert!(names.starts_with(&message), "{names}");
    assert!(!names.contains("other"), "{names}");
    let namespace = format!("--namespace={}", &scope.namespace[..5]);
    let namespaces = complete(&scope, &["list", &namespace]).done();
    let offered = format!("--namespace={}\n", scope.namespace);
    assert!(namespaces.contains(&offered), "{namespaces}");
}

#[test]
fn completion_without_a_cluster_offers_nothing_and_does_not_fail() {
    let mut command = Command::new(plugin_file());
    let command = command
        .args(["__complete", "status", ""])
        .env("KUBECONFIG", "/nonexistent");
    let outcome = outcome(command, "");
    assert_eq!(outcome.stderr, "");
    assert_eq!(outcome.done(), ":4\n");
}

fn krew(arguments: &[&str]) -> Command {
    let mut command = Command::new(checkout().join("hack/krew.sh"));
    command
        .args(arguments)
        .env("BASE_URL", "https://example.com/v1.2.3/")
        .env("HOMEPAGE", "https://example.com");
    command
}

#[test]
fn the_manifest_for_krew_has_the_sums_of_the_archives() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    // A small file in place of the program.
    let plugin = checkout().join("hack/krew/kubectl_complete-apikey");
    let plugin = plugin.to_str().unwrap();
    let made = run(&mut krew(&["archive", plugin, dir]));
    let archive = Path::new(made.trim_end());
    let listed = run(Command::new("tar").arg("-tzf").arg(archive));
    let mut files: Vec<_> = listed.lines().collect();
    files.sort_unstable();
    assert_eq!(
        files,
        ["LICENSE", "kubectl-apikey", "kubectl_complete-apikey"]
    );
    let sum = hex::encode(&Sha256::digest(std::fs::read(archive).unwrap()));

    let missing = outcome(&mut krew(&["1.2.3", dir]), "").failed(2);
    assert!(missing.contains("missing: "), "{missing}");
    let text = run(&mut krew(&["--partial", "v1.2.3", dir]));
    assert!(!text.contains('@'), "{text}");
    let manifest: BTreeMap<String, Value> = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(manifest["kind"], "Plugin");
    assert_eq!(manifest["metadata"]["name"], "apikey");
    assert_eq!(manifest["spec"]["version"], "v1.2.3");
    let platforms = manifest["spec"]["platforms"].as_array().unwrap();
    assert_eq!(platforms.len(), 1, "{text}");
    assert_eq!(platforms[0]["sha256"], sum);
    let name = archive.file_name().unwrap().to_str().unwrap();
    assert_eq!(
        platforms[0]["uri"],
        format!("https://example.com/v1.2.3/{name}")
    );

    // A release has archives for all platforms.
    for other in ["linux-amd64", "linux-arm64", "darwin-amd64", "darwin-arm64"] {
        run(&mut krew(&["archive", plugin, dir, other]));
    }
    let text = run(&mut krew(&["1.2.3", dir]));
    assert_eq!(text.matches("sha256: ").count(), 4, "{text}");
    assert!(!text.contains('@'), "{text}");
}
