//! Runs the programs of the workspace.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// Returns the standard output of a program of the workspace, which cargo builds first.
pub(crate) fn output(root: &Path, program: &str, arguments: &[&str]) -> Result<String> {
    // Select the whole workspace, so that dependencies are built as for tests and the demo.
    let options = ["build", "--quiet", "--locked", "--workspace", "--bin"];
    run(cargo(root).args(options).arg(program))?;
    run(Command::new(root.join(target()).join("debug").join(program)).args(arguments))
}

/// The cargo that runs this program, in the repository.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root);
    cargo
}

/// Cargo's target folder, from the root of the repository.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from)
}

/// Standard output of a command that has to succeed.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", output.status);
    String::from_utf8(output.stdout).with_context(|| format!("{command:?}"))
}
