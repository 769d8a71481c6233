//! Properties of every verb.

use std::process::Command;

use crate::support::{Scope, outcome, plugin_file};

#[tokio::test]
async fn usage_speaks_of_kubectl_when_called_by_kubectl() {
    let scope = Scope::shared().await;
    let help = scope.plugin(&["version", "--help"]).done();
    assert!(help.contains("Usage: kubectl apikey version"), "{help}");
    assert!(help.contains("kubectl apikey version --client"), "{help}");
}

#[test]
fn usage_speaks_of_the_name_that_it_was_called_by() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("apikeyctl");
    std::os::unix::fs::symlink(plugin_file(), &link).unwrap();
    let help = outcome(Command::new(&link).args(["version", "--help"]), "").done();
    assert!(help.contains("Usage: apikeyctl version"), "{help}");
    assert!(!help.contains("kubectl apikey"), "{help}");
    let script = outcome(Command::new(&link).args(["completion", "bash"]), "").done();
    assert!(script.contains("apikeyctl"), "{script}");
}

#[test]
fn help_goes_to_standard_output_and_wrong_usage_to_standard_error() {
    let help = outcome(Command::new(plugin_file()).arg("--help"), "");
    assert!(help.stderr.is_empty(), "{help:?}");
    let help = help.done();
    assert!(
        help.contains("Exit codes:") && help.contains("timed out"),
        "{help}"
    );
    let wrong = outcome(Command::new(plugin_file()).arg("frobnicate"), "");
    assert!(wrong.stdout.is_empty(), "{wrong:?}");
    wrong.failed(2);
}

#[test]
fn every_shell_gets_a_script_without_a_cluster() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let mut command = Command::new(plugin_file());
        let command = command
            .args(["completion", shell])
            .env("KUBECONFIG", "/dev/null");
        let script = outcome(command, "").done();
        assert!(script.contains("kubectl-apikey"), "{shell}: {script}");
    }
}

#[tokio::test]
async fn a_context_that_is_not_there_is_named_with_the_fix() {
    let scope = Scope::shared().await;
    let outcome = scope.plugin(&["list", "--context", "nowhere"]);
    let message = outcome.failed(1);
    assert!(message.contains("'nowhere'"), "{message}");
    assert!(message.contains("get-contexts"), "{message}");
}

#[test]
fn a_cluster_that_cannot_be_reached_is_reported_with_the_cause() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    let config = "{apiVersion: v1, kind: Config, current-context: c, \
                  clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}], \
                  users: [{name: u, user: {token: x}}], \
                  contexts: [{name: c, context: {cluster: c, user: u}}]}";
    std::fs::write(&file, config).unwrap();
    for call in [
        &["list"][..],
        &["create", "ci", "--org", "acme", "--role", "viewer"],
    ] {
        let mut command = Command::new(plugin_file());
        let command = command.args(call).arg("--kubeconfig").arg(&file);
        let message = outcome(command, "").failed(1);
        assert!(message.contains("Connection refused"), "{message}");
        assert!(message.contains("kubectl cluster-info"), "{message}");
        assert!(!message.contains("not known"), "{message}");
    }
}

#[test]
fn help_states_what_a_leak_needs_and_the_defaults() {
    let help = |verb: &str| {
        let text = outcome(Command::new(plugin_file()).args([verb, "--help"]), "").done();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let rotate = help("rotate");
    for part in [
        "A secret that leaked needs --overlap 0",
        "within 10 seconds, even if the new one can't be delivered",
        "at most 90d",
    ] {
        assert!(rotate.contains(part), "{part}\n{rotate}");
    }
    let create = help("create");
    for part in [
        "How long a replaced secret stays accepted, at most 90d. 0: it is refused at once. Default: 1h",
        "from 1d to 3650d",
        "from 60s to 30d. Default: 1d",
        "from 60s to 24h. Default: 1h",
        "Default: keep",
    ] {
        assert!(create.contains(part), "{part}\n{create}");
    }
}
