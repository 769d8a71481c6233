//! What kubectl takes as `KUBECONFIG`, the plugin and the operator take too.

use std::path::Path;

use crate::support::{Cluster, outcome};

/// What kubectl leaves of a file whose last entry was deleted.
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

/// The context of a kubeconfig.
fn context(path: &str) -> String {
    let kubeconfig = kube::config::Kubeconfig::read_from(path).unwrap();
    kubeconfig.current_context.unwrap()
}
