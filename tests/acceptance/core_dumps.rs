//! The processes write no core dump, and other processes of the same user can't read their memory.

#![cfg(target_os = "linux")]

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, getuid, kill_process};
use tempfile::TempDir;

use crate::support::{eventually, plugin_file};

/// A group that is not root's: the kernel shows the files of a process that must not be dumped as owned by root.
const NOT_ROOT: u32 = 65_534;
/// A kubeconfig without an API server behind it. The processes wait for one.
const NOWHERE: &str = "{apiVersion: v1, kind: Config, current-context: c, \
    clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}], users: [{name: u, user: {}}], \
    contexts: [{name: c, context: {cluster: c, user: u}}]}";

/// A process that inherits an unlimited core file size.
struct Started {
    child: Child,
    folder: TempDir,
}

impl Started {
    fn new(program: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, NOWHERE).unwrap();
        let unlimited = "ulimit -S -c $(ulimit -H -c) && exec \"$@\"";
        let mut command = Command::new("sh");
        command
            .args(["-c", unlimited, "sh", program])
            .args(arguments)
            .env("KUBECONFIG", kubeconfig)
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if getuid().is_root() {
            command.gid(NOT_ROOT);
        }
        let child = command.spawn().unwrap();
        Self { child, folder }
    }

    /// Whether the process may write no core dump, and whether only root may read its memory.
    fn is_closed(&self) -> (bool, bool) {
        let process = Path::new("/proc").join(self.child.id().to_string());
        let limits = std::fs::read_to_string(process.join("limits")).unwrap();
        let core = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max core file size"));
        let mut core = core.unwrap().split_whitespace();
        let owner = std::fs::metadata(process.join("mem")).unwrap();
        (
            core.next() == Some("0") && core.next() == Some("0"),
            (owner.uid(), owner.gid()) == (0, 0),
        )
    }

    /// Aborts the process, as a failed assertion of the C library does. Returns whether it left a core dump.
    fn abort(&mut self) -> bool {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::ABORT).unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), Some(Signal::ABORT.as_raw()));
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        status.core_dumped() || files.count() > 1
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn no_process_leaves_a_core_dump_or_shows_its_memory_to_its_user() {
    let operator = env!("CARGO_BIN_EXE_apikey-operator");
    let plugin = plugin_file().to_str().unwrap();
    let admin = "--admin-listen=127.0.0.1:0";
    let token = "--token-listen=127.0.0.1:0";
    for (program, arguments) in [
        (operator, &["controller", admin][..]),
        (operator, &["token-server", admin, token]),
        (operator, &["run", admin, token]),
        (plugin, &["inspect"]),
    ] {
        let mut process = Started::new(program, arguments);
        eventually(
            &format!("{arguments:?} has disabled core dumps"),
            async || (process.is_closed() == (true, true)).then_some(()),
        )
        .await;
        assert!(!process.abort(), "{arguments:?} left a core dump");
    }
}

/// Checks that the test above would notice a core dump.
#[test]
fn a_process_that_does_not_turn_them_off_is_seen() {
    let mut process = Started::new("cat", &[]);
    let (_, by_root_alone) = process.is_closed();
    assert!(!by_root_alone);
    process.abort();
}
