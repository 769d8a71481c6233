//! Runs the program as a shell does, without a cluster.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::process::{Command, Output};

fn plugin(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-apikey"));
    command.args(arguments).env("KUBECONFIG", "/nowhere");
    command.output().unwrap()
}

#[test]
fn help_goes_to_standard_output_and_a_wrong_word_to_standard_error() {
    let help = plugin(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&help.stdout).contains("Exit codes:"));
    assert!(help.stderr.is_empty());

    let wrong = plugin(&["creat"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("'create'"));
    assert!(wrong.stdout.is_empty());
}
