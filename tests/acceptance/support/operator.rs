//! The operator as a process.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::eventually;

/// Starts the operator, tells its pid, and kills it when standard input closes: it never outlives
/// this process, however that ends.
const GUARD: &str =
    r#""$@" </dev/null >"$OUT" 2>"$ERR" & echo $!; cat >/dev/null; kill -9 $! 2>/dev/null; wait"#;

/// Hashing as cheap as the algorithm allows.
pub(crate) const CHEAP: [&str; 2] = ["--argon2-memory-kib=8", "--argon2-iterations=1"];

pub(crate) struct Operator {
    guard: Child,
    alive: Option<ChildStdin>,
    pid: String,
    admin: String,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Operator {
    /// Starts `apikey-operator controller`.
    pub(crate) fn start(kubeconfig: &Path, logs: &Path, arguments: &[&str]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let stdout = logs.join(format!("operator-{n}.out"));
        let stderr = logs.join(format!("operator-{n}.err"));
        let admin = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let mut guard = Command::new("sh")
            .args([
                "-c",
                GUARD,
                "guard",
                env!("CARGO_BIN_EXE_apikey-operator"),
                "controller",
            ])
            .args(["--namespace", super::OPERATOR_NAMESPACE])
            .args(["--admin-listen", &admin.to_string()])
            .args(arguments)
            .env("KUBECONFIG", kubeconfig)
            .env("OUT", &stdout)
            .env("ERR", &stderr)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pid = String::new();
        BufReader::new(guard.stdout.take().unwrap())
            .read_line(&mut pid)
            .unwrap();
        let alive = guard.stdin.take();
        let pid = pid.trim().to_owned();
        Self {
            guard,
            alive,
            pid,
            admin: admin.to_string(),
            stdout,
            stderr,
        }
    }

    /// Kills it at once, as a crash would.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// Asks it to stop and waits until it has.
    pub(crate) async fn terminate(&self) {
        Command::new("kill").arg(&self.pid).status().unwrap();
        eventually("the operator stops", async || {
            self.stderr().contains("Stopped").then_some(())
        })
        .await;
    }

    fn end(&mut self) {
        drop(self.alive.take());
        let _ = self.guard.wait();
    }

    /// What it logged.
    pub(crate) fn stderr(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Its audit lines.
    pub(crate) fn audit(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(&self.stdout).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Status code and body of a path of the admin port.
    pub(crate) fn get(&self, path: &str) -> Option<(u16, String)> {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(&self.admin).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let code = head.split(' ').nth(1)?.parse().ok()?;
        Some((code, body.to_owned()))
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.stderr.display(), self.stderr());
        }
    }
}
