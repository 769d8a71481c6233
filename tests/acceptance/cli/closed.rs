//! Calls whose output is closed early still finish their work.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::process::Stdio;

use crate::support::{Scope, eventually};

/// More keys than the plugin changes at the same time.
const KEYS: usize = 20;

/// Runs the plugin with this standard output. Returns its exit code and standard error.
fn run(scope: &Scope<'_>, stdout: impl Into<Stdio>, call: &[&str]) -> (i32, String) {
    let mut command = scope.plugin_command();
    let command = command
        .args(call)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::piped());
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), stderr)
}

/// Runs the plugin with a closed output.
fn unread(scope: &Scope<'_>, call: &[&str]) -> (i32, String) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    run(scope, writer, call)
}

async fn with_keys() -> Scope<'static> {
    let scope = Scope::shared().await;
    let keys = (0..KEYS).map(|n| scope.key_yaml(&format!("ci-{n}"), ""));
    scope.apply(&keys.collect::<Vec<_>>().join("\n---\n"));
    scope
}

async fn count(scope: &Scope<'_>, suspended: bool) -> usize {
    let keys = scope.keys().list(&kube::api::ListParams::default()).await;
    let keys = keys.unwrap().items;
    keys.iter()
        .filter(|key| key.spec.suspended == suspended)
        .count()
}

#[tokio::test]
async fn what_changes_many_keys_is_finished_when_nobody_reads_the_output() {
    let scope = with_keys().await;
    let all = |verb| unread(&scope, &[verb, "--all"]);
    assert_eq!(all("suspend"), (0, String::new()));
    assert_eq!(count(&scope, true).await, KEYS);
    assert_eq!(all("resume"), (0, String::new()));
    assert_eq!(count(&scope, false).await, KEYS);
    eventually("all keys are ready", async || {
        let ready = scope.plugin(&["list"]).stdout.matches(" True ").count();
        (ready == KEYS).then_some(())
    })
    .await;
    let rotated = unread(&scope, &["rotate", "--all", "--yes"]);
    assert_eq!(rotated, (0, String::new()));
    for key in scope
        .keys()
        .list(&kube::api::ListParams::default())
        .await
        .unwrap()
    {
        assert_eq!(key.status.unwrap().revision, Some(2));
    }
    let (code, message) = unread(&scope, &["suspend", "ci-0", "nothing", "ci-1"]);
    assert_eq!(code, 1, "{message}");
    assert_eq!(count(&scope, true).await, 2);
    let revoked = unread(&scope, &["revoke", "--all", "--yes"]);
    assert_eq!(revoked, (0, String::new()));
    assert_eq!(count(&scope, false).await + count(&scope, true).await, 0);
}

#[tokio::test]
async fn what_changes_many_keys_is_finished_on_a_full_disk_and_fails() {
    let scope = with_keys().await;
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (code, message) = run(&scope, full, &["suspend", "--all"]);
    assert_eq!(code, 1, "{message}");
    assert!(message.contains("the output can't be written"), "{message}");
    assert_eq!(count(&scope, true).await, KEYS);
}

#[tokio::test]
async fn the_first_line_is_read_and_the_rest_is_done() {
    let scope = with_keys().await;
    let (mut reader, writer) = std::io::pipe().unwrap();
    let reading = std::thread::spawn(move || {
        let mut first = [0; 7];
        reader.read_exact(&mut first).unwrap();
        first
    });
    let (code, message) = run(&scope, writer, &["revoke", "--all", "--yes"]);
    assert_eq!((code, message.as_str()), (0, ""));
    assert_eq!(&reading.join().unwrap(), b"apikey/");
    assert_eq!(count(&scope, false).await, 0);
}

#[tokio::test]
async fn the_exit_code_is_that_of_the_answer_when_nobody_reads_it() {
    let scope = Scope::shared().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.yaml");
    std::fs::write(&file, scope.key_yaml("ci", "rolls: [a]")).unwrap();
    let (code, _) = unread(&scope, &["lint", "-f", file.to_str().unwrap()]);
    assert_eq!(code, 5);
    let nowhere = ["check", "--url", "http://127.0.0.1:9"];
    assert_eq!(unread(&scope, &nowhere).0, 5);
    assert_eq!(unread(&scope, &["list", "-o", "json"]).0, 0);
    let created = ["create", "ci", "--org", scope.org(), "--role", "viewer"];
    assert_eq!(unread(&scope, &created).0, 0);
    // The plugin waited until the key was ready.
    assert!(scope.plugin(&["list"]).done().contains(" True "));
}

#[tokio::test]
async fn a_secret_is_not_claimed_for_an_output_that_is_closed_or_thrown_away() {
    let scope = Scope::shared().await;
    scope.apply_key("once", "secret: {delivery: RevealOnce}");
    scope.ready("once").await;
    let refused = |(code, message): (i32, String)| {
        assert_eq!(code, 2, "{message}");
        assert!(message.contains("standard output is closed"), "{message}");
    };
    refused(run(&scope, Stdio::null(), &["reveal", "once"]));
    let plugin = scope.plugin_command();
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-c", "exec \"$@\" >&-", "sh"])
        .arg(plugin.get_program())
        .args(plugin.get_args())
        .args(["reveal", "once"])
        .stdin(Stdio::null());
    for (name, value) in plugin.get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    let output = shell.output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    refused((output.status.code().unwrap(), message));
    assert!(scope.plugin(&["reveal", "once"]).done().starts_with("ak_"));
}

#[tokio::test]
async fn a_claimed_secret_that_nobody_read_is_no_success() {
    let scope = Scope::shared().await;
    scope.apply_key("once", "secret: {delivery: RevealOnce}");
    scope.ready("once").await;
    let (code, message) = unread(&scope, &["reveal", "once"]);
    assert_eq!(code, 1, "{message}");
    let hint = format!("kubectl apikey rotate once -n {}", scope.namespace);
    assert!(message.contains(&hint), "{message}");
    scope.apply_key("full", "secret: {delivery: RevealOnce}");
    scope.ready("full").await;
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (code, message) = run(&scope, full, &["reveal", "full"]);
    assert_eq!(code, 1, "{message}");
    let hint = format!("kubectl apikey rotate full -n {}", scope.namespace);
    assert!(message.contains(&hint), "{message}");
}
