//! The kubectl plugin, run by the real kubectl.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::SystemTime;

use serde_json::Value;

use super::Scope;

/// The output and the exit code of a call.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// The standard output. Panics if the exit code is not 0.
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.stdout
    }

    /// The standard error. Panics if the exit code is not this one.
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:?}");
        self.stderr
    }

    /// Standard output as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }
}

impl Scope<'_> {
    /// `kubectl apikey` as admin in the namespace, with these arguments and no terminal.
    pub(crate) fn plugin(&self, arguments: &[&str]) -> Outcome {
        self.plugin_reads("", arguments)
    }

    /// Like [`Self::plugin`], with this standard input.
    pub(crate) fn plugin_reads(&self, input: &str, arguments: &[&str]) -> Outcome {
        outcome(self.plugin_command().args(arguments), input)
    }

    /// The command `kubectl apikey -n NAMESPACE`, without further arguments.
    pub(crate) fn plugin_command(&self) -> Command {
        let mut command = self.cluster.control_plane.kubectl();
        let path = path_with_plugin(&command);
        command
            .env("PATH", path)
            .args(["apikey", "-n", &self.namespace]);
        command
    }
}

/// Runs a command to its end.
pub(crate) fn outcome(command: &mut Command, input: &str) -> Outcome {
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The command may end before it reads its input.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// The plugin itself.
pub(crate) fn plugin_file() -> &'static Path {
    static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
        let crates = ["api", "client", "credential", "policy", "kubectl-apikey"];
        of_workspace("kubectl-apikey", &crates.map(|name| format!("{name}/src")))
    });
    &FILE
}

/// A program of another package, built from these folders of `crates/`. Cargo puts it beside the operator
/// when it builds the whole workspace. Panics if the program is missing or older than its sources.
pub(crate) fn of_workspace(name: &str, sources: &[String]) -> PathBuf {
    let file = Path::new(env!("CARGO_BIN_EXE_apikey-operator")).with_file_name(name);
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates");
    let newest = sources
        .iter()
        .map(|folder| newest_below(&crates.join(folder)));
    assert!(
        modified(&file) >= newest.max().flatten(),
        "{} is missing, or older than its source: cargo test --workspace --no-run",
        file.display()
    );
    file
}

fn modified(file: &Path) -> Option<SystemTime> {
    file.metadata().ok()?.modified().ok()
}

/// The time of the newest Rust file below this folder, without tests.
fn newest_below(folder: &Path) -> Option<SystemTime> {
    let below = std::fs::read_dir(folder).unwrap();
    let below = below.map(|entry| entry.unwrap().path());
    let times = below.map(|path| {
        let is_rust = path.extension().is_some_and(|extension| extension == "rs");
        match path.file_stem().and_then(|name| name.to_str()) {
            Some("tests") => None,
            _ if path.is_dir() => newest_below(&path),
            _ => modified(&path).filter(|_| is_rust),
        }
    });
    times.max().flatten()
}

fn path_with_plugin(command: &Command) -> OsString {
    let set = command.get_envs().find(|(name, _)| *name == "PATH");
    let path = set.and_then(|(_, value)| value).unwrap_or_default();
    let mut all = plugin_file().parent().unwrap().as_os_str().to_owned();
    all.push(":");
    all.push(path);
    all
}
