//! The kubectl plugin beside objects that nobody can read.

use super::{Poison, apikey_path, poison};
use crate::support::Cluster;

#[tokio::test]
async fn the_plugin_lists_changes_and_revokes_keys_that_kubectl_can_read() {
    let cluster = Cluster::start();
    let _operator = cluster.operator(&super::CONTROLLER);
    let scope = cluster.scope().await;
    scope.declare(scope.org(), "{allowedNamespaces: {from: All}}");
    for name in ["good", "time", "depth"] {
        scope.apply_key(name, "");
        scope.ready(name).await;
    }
    for (name, kind) in [("time", Poison::Time), ("depth", Poison::Depth)] {
        poison(&scope, &apikey_path(&scope, name), kind).await;
        let secret = format!("/api/v1/namespaces/{}/secrets/{name}", scope.namespace);
        poison(&scope, &secret, kind).await;
    }
    let table = scope.plugin(&["list", "-A"]).done();
    assert_eq!(table.matches("Active").count(), 3, "{table}");
    for name in ["time", "depth"] {
        let status = scope.plugin(&["status", name]).done();
        assert!(status.contains("Active"), "{status}");
        scope.plugin(&["suspend", name]).done();
        scope.plugin(&["resume", name]).done();
        scope.plugin(&["rotate", name, "--overlap", "0s"]).done();
        scope.plugin(&["revoke", name, "--yes"]).done();
    }
}

#[tokio::test]
async fn a_key_that_the_plugin_can_t_read_is_a_row_of_its_own_with_what_to_do() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    scope.declare(scope.org(), "{allowedNamespaces: {from: All}}");
    scope.apply_key("good", "");
    super::make_unreadable(&scope, "odd").await;
    let listed = scope.plugin(&["list"]);
    assert!(listed.stdout.contains("good"), "{listed:?}");
    assert!(listed.stdout.contains("Unreadable"), "{listed:?}");
    assert!(
        listed.stderr.contains("kubectl get apikey odd"),
        "{listed:?}"
    );
    listed.done();
    let told = scope.plugin(&["status", "odd"]).failed(1);
    assert!(told.contains("kubectl delete apikey odd"), "{told}");
}
