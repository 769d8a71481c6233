//! One server process under a guard that outlives us just long enough to clean up.
//!
//! A guard is a `sh` whose standard input is a pipe from this process. However this process ends
//! (return, panic, SIGKILL, a `static` that is never dropped), the kernel closes the pipe, and
//! the guard kills the one process it started. Guards have process groups of their own, so
//! Ctrl-C in a terminal reaches only their owner.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::error::{IoContext, Result};
use crate::folder::Folder;

/// `$1` is the log file, and the rest is the command. The watcher waits for the end of the pipe. Its
/// `kill` can't hit another process: the child's id stays in use until `wait` below returns, and
/// the script then ends the watcher first.
const SCRIPT: &str = r#"
log=$1; shift
exec 3<&0 0</dev/null
"$@" >>"$log" 2>&1 3<&- &
child=$!
{ read -r _ <&3; kill -KILL "$child"; } 2>/dev/null &
watcher=$!
exec 3<&-
wait "$child"; status=$?
kill -KILL "$watcher" 2>/dev/null
exit "$status"
"#;

/// A running server. Dropping it kills the server and returns when the process is gone.
pub(crate) struct Component {
    name: &'static str,
    log: PathBuf,
    guard: Child,
}

impl Component {
    /// Runs `program` with `args` and appends its output to `log`. The environment is only `env`,
    /// because inherited `ETCD_*` variables would reconfigure etcd.
    pub(crate) fn spawn(
        name: &'static str,
        program: &Path,
        args: &[impl AsRef<OsStr>],
        env: &[(&str, &str)],
        folder: &Folder,
    ) -> Result<Self> {
        let log = folder.logs().join(format!("{name}.log"));
        let guard = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "controlplane-guard"])
            .arg(&log)
            .arg(program)
            .args(args)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", folder.path())
            .envs(env.iter().copied())
            .current_dir(folder.path())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(folder.lifeline()?)
            .stderr(Stdio::null())
            .spawn()
            .context("run", program)?;
        Ok(Self { name, log, guard })
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// The exit status of the server, if it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.guard.try_wait().ok().flatten()
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        // `Child::wait` closes the pipe before it waits.
        let _ = self.guard.wait();
    }
}
