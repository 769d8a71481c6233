//! The plugin and the operator accept every kubeconfig that kubectl accepts.

use std::path::Path;
use std::process::Command;

use crate::support::{Cluster, outcome, plugin_file};

/// The file that kubectl leaves after it deleted the last entry.
const EMPTY: &str = "\
apiVersion: v1
clusters: null
contexts: null
current-context: \"\"
kind: Config
preferences: {}
users: null
";

#[tokio::test]
async fn files_that_are_missing_or_empty_are_skipped() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let (empty, nothing) = (write("empty", EMPTY), write("nothing", ""));
    let broken = write("broken", "clusters: [");
    let good = cluster
        .control_plane
        .admin_kubeconfig()
        .display()
        .to_string();
    for list in [
        format!("/nonexistent:{good}"),
        format!("{good}:/nonexistent"),
        format!("{empty}:{good}"),
        format!("{nothing}:{good}"),
        format!("/nonexistent:{empty}::{nothing}:{good}"),
    ] {
        let mut kubectl = cluster.control_plane.kubectl();
        let kubectl = kubectl.args(["get", "apikeys"]).env("KUBECONFIG", &list);
        outcome(kubectl, "").done();
        let run = |call: &[&str]| {
            let mut plugin = scope.plugin_command();
            outcome(plugin.args(call).env("KUBECONFIG", &list), "")
        };
        run(&["list"]).done();
        run(&["list", "--context", context(&good).as_str()]).done();
    }
    for list in [format!("{broken}:{good}"), format!("{good}:{broken}")] {
        let mut plugin = scope.plugin_command();
        let refused = outcome(plugin.arg("list").env("KUBECONFIG", &list), "").failed(1);
        assert!(refused.contains("broken"), "{refused}");
    }
    for list in ["/nonexistent".to_owned(), empty.clone(), nothing.clone()] {
        let mut plugin = scope.plugin_command();
        outcome(plugin.arg("list").env("KUBECONFIG", &list), "").failed(1);
    }

    let account = cluster.service_account().display().to_string();
    let list = format!("/nonexistent:{empty}:{account}");
    let operator = cluster.operator_of(Path::new(&list), &["--leader-elect=false"]);
    scope.apply_key("ci", "");
    scope.ready("ci").await;
    drop(operator);
}

/// Checks the message about a kubeconfig with an error near this token.
const TOKEN: &str = "s3cr3t-0123456789";

#[test]
fn what_is_wrong_with_a_kubeconfig_is_reported_without_its_text() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    let runs = |file: &Path| {
        let mut plugin = Command::new(plugin_file());
        let mut named = Command::new(plugin_file());
        let mut operator = Command::new(env!("CARGO_BIN_EXE_apikey-operator"));
        plugin.arg("list").env("KUBECONFIG", file);
        named.args(["list", "--kubeconfig"]).arg(file);
        operator.arg("controller").env("KUBECONFIG", file);
        [plugin, named, operator].map(|mut command| outcome(&mut command, ""))
    };
    let place = |line: usize| format!("{} is not a kubeconfig: line {line}, ", file.display());
    for (broken, line) in [
        (
            format!("users:\n- name: a\n  user:\n    token: {TOKEN}\n   bad: ["),
            5,
        ),
        (format!("users:\n- name: a\n  user: {TOKEN}\n"), 3),
        (format!("users: {TOKEN}\n"), 1),
        (format!("current-context: a\ncurrent-context: {TOKEN}\n"), 2),
    ] {
        std::fs::write(&file, &broken).unwrap();
        for refused in runs(&file) {
            let message = format!("{}{}", refused.stdout, refused.stderr);
            assert!(message.contains(&place(line)), "{broken}\n{message}");
            let is_quoted =
                message.contains(TOKEN) || message.contains("\\u{") || message.contains("name: a");
            assert!(!is_quoted, "{broken}\n{message}");
            refused.failed(1);
        }
    }
}

#[test]
fn what_a_command_for_credentials_prints_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    for (script, expected) in [
        (
            format!("echo 'status: {{token: {TOKEN}'"),
            "prints no ExecCredential: line ",
        ),
        (
            format!("echo {TOKEN}; echo log in first >&2; exit 3"),
            "log in first",
        ),
    ] {
        let exec = format!(
            "{{apiVersion: client.authentication.k8s.io/v1, command: sh, interactiveMode: Never, args: \
             [-c, {script:?}]}}"
        );
        let text = format!(
            "current-context: a\nclusters: [{{name: a, cluster: {{server: 'http://127.0.0.1:9'}}}}]\n\
             contexts: [{{name: a, context: {{cluster: a, user: a}}}}]\n\
             users: [{{name: a, user: {{exec: {exec}}}}}]\n"
        );
        std::fs::write(&file, text).unwrap();
        let mut plugin = Command::new(plugin_file());
        let mut operator = Command::new(env!("CARGO_BIN_EXE_apikey-operator"));
        plugin.arg("list").env("KUBECONFIG", &file);
        operator.arg("controller").env("KUBECONFIG", &file);
        for mut command in [plugin, operator] {
            let refused = outcome(&mut command, "");
            let message = format!("{}{}", refused.stdout, refused.stderr);
            assert!(message.contains(expected), "{message}");
            assert!(
                !message.contains(TOKEN) && !message.contains("\\u{"),
                "{message}"
            );
            refused.failed(1);
        }
    }
}

/// The context of a kubeconfig.
fn context(path: &str) -> String {
    let kubeconfig = kube::config::Kubeconfig::read_from(path).unwrap();
    kubeconfig.current_context.unwrap()
}
