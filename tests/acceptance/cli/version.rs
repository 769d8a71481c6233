//! `kubectl apikey version`.

use std::process::Command;

use crate::support::{Scope, outcome, plugin_file};

#[tokio::test]
async fn version_shows_program_and_served_api() {
    let scope = Scope::shared().await;
    let text = scope.plugin(&["version"]).done();
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        text.contains(&format!("Client version: {version}")),
        "{text}"
    );
    assert!(
        text.contains("Server API: apikey-operator.dev/v1alpha1"),
        "{text}"
    );
    let json = scope.plugin(&["version", "-o", "json"]).json();
    assert_eq!(json["clientVersion"], version);
    assert_eq!(
        json["server"]["apiVersions"][0],
        "apikey-operator.dev/v1alpha1"
    );
}

#[test]
fn version_needs_no_cluster() {
    let mut command = Command::new(plugin_file());
    let command = command.arg("version").env("KUBECONFIG", "/nonexistent");
    let outcome = outcome(command, "");
    assert!(outcome.stderr.contains("server:"), "{outcome:?}");
    assert!(outcome.done().contains("Client version:"));
}
