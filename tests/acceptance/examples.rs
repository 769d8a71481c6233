//! Every example works unchanged.

use std::path::Path;

use crate::support::{Scope, of_workspace, outcome};

#[tokio::test]
async fn every_example_is_accepted_by_the_api_server() {
    let scope = Scope::shared().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            scope.kubectl(&["apply", "-f", path.to_str().unwrap()]);
            count += 1;
        }
    }
    assert!(count >= 10, "only {count} examples were found");
}

#[tokio::test]
async fn a_program_that_knows_only_the_api_crate_creates_a_key() {
    let scope = Scope::shared().await;
    let mut program = scope.cluster.control_plane.command(of_workspace(
        "examples/create_apikey",
        &["api/src".into(), "api/examples".into()],
    ));
    program.args([&scope.namespace, "by-program", scope.org(), "viewer"]);
    assert!(outcome(&mut program, "").done().contains("by-program"));
    scope.delivered("by-program").await;
}
