//! Restored keys in another cluster have new uids and keep their secrets.
//!
//! The commands are those of docs/backup.md.

use std::path::Path;

use apikey_api::{ApiKey, names};
use kube::api::ListParams;
use tempfile::TempDir;

use crate::support::{Cluster, Credential, Login, Operator, Scope, eventually, run};

const NAMESPACE: &str = "team-a";
/// An empty backup. kubectl needs at least one object.
const NOTHING: &str = r#"{"apiVersion": "v1", "kind": "List", "items":
    [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a"}}]}"#;

/// A folder as docs/backup.md expects it, with the chart and its values.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let charts = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts");
    std::os::unix::fs::symlink(charts, folder.path().join("charts")).unwrap();
    let no_pods = "{controller: {replicas: 0}, tokenServer: {replicas: 0}}";
    std::fs::write(folder.path().join("values.yaml"), no_pods).unwrap();
    folder
}

/// Runs the block of commands with this name on the page.
fn follow(cluster: &Cluster, folder: &TempDir, name: &str) {
    let page = include_str!("../../docs/backup.md");
    let fence = format!("```sh {name}\n");
    let (_, from) = page.split_once(&fence).expect("the page has the commands");
    let (commands, _) = from.split_once("```").unwrap();
    let mut shell = cluster.control_plane.command("bash");
    run(shell
        .current_dir(folder.path())
        .args(["-euo", "pipefail", "-c", commands]));
}

/// Creates keys of all kinds, backs them up, and drops the cluster.
async fn saved() -> (TempDir, Vec<Credential>, ApiKey, String) {
    let folder = folder();
    let cluster = Cluster::start();
    let _operator = cluster.operator(&[]);
    let server = cluster.token_server(&[]);
    let scope = cluster.scope_of(NAMESPACE.to_owned()).await;
    scope.kubectl(&["create", "namespace", NAMESPACE]);
    scope.declare(NAMESPACE, "{allowedNamespaces: {from: All}}");
    scope.apply_key("steady", "");
    let steady = scope.credential(&scope.ready("steady").await).await;
    scope.apply_key("rotated", "");
    let before = scope.credential(&scope.ready("rotated").await).await;
    scope.rotate("rotated", "1").await;
    let after = scope.rotated("rotated", "1").await;
    let after = scope.credential(&after).await;
    scope.apply_key("claimed", "secret: {delivery: RevealOnce}");
    let claimed = scope.credential(&scope.ready("claimed").await).await;
    assert!(scope.claim("claimed").await.is_some());
    let claimed_key = scope
        .key("claimed", "revealed", |key| {
            let status = key.status.as_ref();
            status.is_some_and(|status| status.revealed_at.is_some())
        })
        .await;
    server.ready().await;
    let token = server.token_for(&steady).await.access_token();
    follow(&cluster, &folder, "save");
    let all = vec![steady, before, after, claimed];
    (folder, all, claimed_key, token)
}

/// A cluster with the chart installed, and an operator that restores keys.
async fn restoring(folder: &TempDir) -> (Cluster, Operator) {
    let cluster = Cluster::start();
    follow(&cluster, folder, "install");
    let operator = cluster.operator(&["--restore"]);
    operator.logged("Leading").await;
    (cluster, operator)
}

async fn uids(scope: &Scope<'_>) -> Vec<String> {
    let keys = scope.keys().list(&ListParams::default()).await.unwrap();
    keys.into_iter().map(|k| k.metadata.uid.unwrap()).collect()
}

#[tokio::test]
async fn restored_keys_keep_their_secrets_under_new_uids() {
    let (folder, credentials, claimed, token) = saved().await;
    let (cluster, operator) = restoring(&folder).await;
    let server = cluster.token_server(&[]);
    let scope = cluster.scope_of(NAMESPACE.to_owned()).await;
    scope.kubectl(&["create", "namespace", NAMESPACE]);
    follow(&cluster, &folder, "restore");
    follow(&cluster, &folder, "wait");
    server.ready().await;
    for credential in &credentials {
        let answer = server.token_for(credential).await;
        assert_eq!(
            answer.claims()["sub"],
            format!("apikey:{}", credential.data("key-id"))
        );
    }
    let login = Login::of(&credentials[0]);
    let live = server.introspect(&login, &token).json();
    assert_eq!(
        live["active"], true,
        "tokens from before the restore are active: {live}"
    );
    let now = scope.ready("claimed").await.status.unwrap();
    assert_eq!(now.revealed_at, claimed.status.unwrap().revealed_at);

    follow(&cluster, &folder, "end");
    operator.terminate().await;
    let audit_lines = operator.audit();
    let restored = audit_lines
        .iter()
        .filter(|line| line["action"] == "Restore");
    assert_eq!(
        (restored.count(), audit_lines.len()),
        (3, 3),
        "nothing was minted: {audit_lines:?}"
    );
    let versions = scope.kubectl(&[
        "get",
        "secrets",
        "-o=jsonpath={.items[*].metadata.resourceVersion}",
    ]);
    let operator = cluster.operator(&[]);
    operator.logged("Leading").await;
    scope.apply_key("new", "");
    scope.ready("new").await;
    scope.kubectl(&["delete", "apikey", "new"]);
    for (name, credential) in [("steady", &credentials[0]), ("rotated", &credentials[2])] {
        let key = scope.ready(name).await;
        let restored = scope.credential(&key).await;
        restored.assert_sound();
        assert_eq!(restored.data("secret"), credential.data("secret"));
        assert_eq!(server.token_for(&restored).await.status, 200);
    }
    eventually(
        "the garbage collector removes only the new Secret",
        async || {
            let path = "-o=jsonpath={.items[*].metadata.resourceVersion}";
            (scope.kubectl(&["get", "secrets", path]) == versions).then_some(())
        },
    )
    .await;
    let steady = scope.ready("steady").await;
    scope.kubectl(&["delete", "apikey", "steady", "--timeout=5s"]);
    eventually("a restored key is deleted like any other key", async || {
        let secret = scope.secrets().get_opt("steady").await.unwrap();
        (secret.is_none() && scope.document(&steady).await.is_none()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_its_record_a_key_reports_it_and_is_minted_anew_only_when_the_restore_ends() {
    let (folder, credentials, ..) = saved().await;
    let (cluster, operator) = restoring(&folder).await;
    let scope = cluster.scope_of(NAMESPACE.to_owned()).await;
    scope.kubectl(&["create", "namespace", NAMESPACE]);
    std::fs::write(folder.path().join("backup/operator.json"), NOTHING).unwrap();
    // The operator does not replace a Secret that the backup lacks.
    std::fs::write(folder.path().join("backup/delivered.json"), NOTHING).unwrap();
    follow(&cluster, &folder, "restore");
    let message = scope.refused("steady", "RestoreIncomplete").await;
    assert!(
        message.contains("restore it into the operator's namespace"),
        "{message}"
    );
    assert_eq!(scope.kubectl(&["get", "secrets", "-o=name"]), "");
    assert!(operator.audit().is_empty());
    operator.terminate().await;
    let _operator = cluster.operator(&[]);
    let anew = scope.credential(&scope.ready("steady").await).await;
    anew.assert_sound();
    assert_ne!(anew.data("key-id"), credentials[0].data("key-id"));
    assert_eq!(uids(&scope).await.len(), 3);
}

#[tokio::test]
async fn records_that_come_before_their_keys_wait_for_them() {
    let (folder, credentials, ..) = saved().await;
    let (cluster, operator) = restoring(&folder).await;
    let scope = cluster.scope_of(NAMESPACE.to_owned()).await;
    scope.kubectl(&["create", "namespace", NAMESPACE]);
    let kept = folder.path().join("backup/apikeys.json");
    let keys = std::fs::read(&kept).unwrap();
    std::fs::write(&kept, NOTHING).unwrap();
    follow(&cluster, &folder, "restore");
    eventually(
        "the operator has read the credential records after the restart",
        async || {
            let all = scope
                .operator_secrets()
                .list(&ListParams::default())
                .await
                .unwrap();
            let credential_records = all
                .items
                .iter()
                .filter(|s| s.type_.as_deref() == Some(names::VERIFIER_SECRET_TYPE));
            (credential_records.count() == 3).then_some(())
        },
    )
    .await;
    operator.terminate().await;
    let operator = cluster.operator(&["--restore"]);
    operator.logged("Leading").await;
    std::fs::write(&kept, keys).unwrap();
    follow(&cluster, &folder, "restore");
    follow(&cluster, &folder, "wait");
    let steady = scope.credential(&scope.ready("steady").await).await;
    assert_eq!(steady.data("secret"), credentials[0].data("secret"));
}
