//! The operator as a process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use controlplane::Process;

use super::eventually;

/// Flags for the least hashing cost.
pub(crate) const CHEAP: [&str; 2] = ["--argon2-memory-kib=8", "--argon2-iterations=1"];

pub(crate) struct Operator {
    process: Process,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// The process to start.
#[derive(Clone, Copy)]
pub(crate) struct Arguments<'a> {
    pub(crate) subcommand: &'a str,
    pub(crate) more: &'a [&'a str],
    pub(crate) environment: &'a [(&'a str, &'a str)],
    /// The file for standard output. The default is a new file.
    pub(crate) output: Option<&'a Path>,
}

impl<'a> Arguments<'a> {
    /// A subcommand with these flags.
    pub(crate) fn of(subcommand: &'a str, more: &'a [&'a str]) -> Self {
        Self {
            subcommand,
            more,
            environment: &[],
            output: None,
        }
    }
}

impl Operator {
    /// Starts `apikey-operator`.
    pub(crate) fn start(kubeconfig: &Path, logs: &Path, arguments: Arguments<'_>) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let own = || logs.join(format!("operator-{n}.out"));
        let stdout = arguments.output.map_or_else(own, Path::to_owned);
        let stderr = logs.join(format!("operator-{n}.err"));
        let fixed = [
            arguments.subcommand,
            "--namespace",
            super::OPERATOR_NAMESPACE,
            "--admin-listen",
            "127.0.0.1:0",
        ];
        let environment = arguments.environment.iter();
        let mut environment: Vec<_> = environment
            .map(|(name, value)| (*name, Path::new(*value)))
            .collect();
        environment.push(("KUBECONFIG", kubeconfig));
        let process = Process::start(
            Path::new(env!("CARGO_BIN_EXE_apikey-operator")),
            &[&fixed, arguments.more].concat(),
            &environment,
            &stdout,
            &stderr,
        );
        Self {
            process: process.unwrap(),
            stdout,
            stderr,
        }
    }

    /// Kills the process at once, like a crash.
    pub(crate) fn kill(self) {
        drop(self);
    }

    /// Requests a stop and waits until the operator has stopped.
    pub(crate) async fn terminate(&self) {
        self.signal();
        eventually("the operator stops", async || {
            self.stderr().contains("Stopped").then_some(())
        })
        .await;
    }

    /// Requests a stop and returns the exit code.
    pub(crate) async fn exit_code(mut self) -> Option<i32> {
        self.terminate().await;
        let pid = self.process.pid().to_owned();
        eventually("the process ends", async || {
            let alive = Command::new("kill").args(["-0", &pid]).output().unwrap();
            (!alive.status.success()).then_some(())
        })
        .await;
        self.process.end()
    }

    /// The process id.
    pub(crate) fn pid(&self) -> &str {
        self.process.pid()
    }

    /// Requests a stop.
    pub(crate) fn signal(&self) {
        let pid = self.process.pid();
        Command::new("kill").arg(pid).status().unwrap();
    }

    /// Waits until the log contains this text.
    pub(crate) async fn logged(&self, text: &str) {
        eventually(&format!("the log has {text}"), async || {
            self.stderr().contains(text).then_some(())
        })
        .await;
    }

    /// The standard output so far.
    pub(crate) fn stdout(&self) -> String {
        std::fs::read_to_string(&self.stdout).unwrap_or_default()
    }

    /// The value of a series, by name and labels as in `/metrics`.
    pub(crate) fn metric(&self, series: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics")?;
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    /// The log so far.
    pub(crate) fn stderr(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// The audit lines so far.
    pub(crate) fn audit(&self) -> Vec<serde_json::Value> {
        self.stdout()
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// The address of the admin port. The operator chooses a free port itself, so no other process can take it.
    fn admin(&self) -> Option<String> {
        let log = self.stderr();
        let serving = log.lines().find(|line| line.contains("Serving /livez"))?;
        let (_, port) = serving.split_once("127.0.0.1:")?;
        let end = port
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(port.len());
        Some(format!("127.0.0.1:{}", &port[..end]))
    }

    /// Status code and body of a path of the admin port.
    pub(crate) fn get(&self, path: &str) -> Option<(u16, String)> {
        let (head, body) = self.ask(path, "")?;
        let code = head.split(' ').nth(1)?.parse().ok()?;
        Some((code, body))
    }

    /// Head and body of the admin port's response to a request with these header lines.
    pub(crate) fn ask(&self, path: &str, fields: &str) -> Option<(String, String)> {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(self.admin()?).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\n{fields}\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.to_owned(), body.to_owned()))
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.stderr.display(), self.stderr());
        }
    }
}
