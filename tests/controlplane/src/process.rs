//! A program that runs beside a control plane and never outlives its owner.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::error::{IoContext as _, Result};

/// Starts the program, prints its pid, kills it when standard input closes for any reason, and
/// prints its exit code.
const SCRIPT: &str = r#"
out=$1 err=$2; shift 2
"$@" </dev/null >"$out" 2>"$err" &
echo $!
cat >/dev/null
kill -KILL $! 2>/dev/null
wait $! 2>/dev/null
echo $?
"#;

/// A running program. Dropping it kills the program and returns when it is gone.
#[derive(Debug)]
pub struct Process {
    guard: Child,
    alive: Option<ChildStdin>,
    message: Option<BufReader<ChildStdout>>,
    pid: String,
}

impl Process {
    /// Starts `program` with its output in the files `stdout` and `stderr`, and with `environment`
    /// added to that of this process.
    ///
    /// # Errors
    /// [`crate::Error::Io`] if no process can be started.
    pub fn start(
        program: &Path,
        arguments: &[&str],
        environment: &[(&str, &Path)],
        stdout: &Path,
        stderr: &Path,
    ) -> Result<Self> {
        let mut guard = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "guard"])
            .args([stdout, stderr, program])
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("run", program)?;
        let mut pid = String::new();
        let mut message = guard.stdout.take().map(BufReader::new);
        if let Some(message) = &mut message {
            message.read_line(&mut pid).context("run", program)?;
        }
        let alive = guard.stdin.take();
        Ok(Self {
            guard,
            alive,
            message,
            pid: pid.trim().to_owned(),
        })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> &str {
        &self.pid
    }

    /// Kills the program if it still runs (code 137), and returns its exit code.
    pub fn end(&mut self) -> Option<i32> {
        drop(self.alive.take());
        let mut code = String::new();
        self.message.take()?.read_line(&mut code).ok()?;
        code.trim().parse().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.alive.take());
        let _ = self.guard.wait();
    }
}
