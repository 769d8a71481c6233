//! The operator as a process.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use controlplane::Process;

use super::machine;

/// Longest wait for a start.
const START: Duration = Duration::from_mins(1);

/// Namespace that the chart is installed into.
pub(crate) const OPERATOR_NAMESPACE: &str = "apikey-operator";
/// Path of the program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_apikey-operator");

pub(crate) struct Operator {
    pub(crate) process: Process,
    admin: String,
    stderr: PathBuf,
    /// When it was started.
    pub(crate) begun: Instant,
}

/// The memory of a process. Unit: MiB.
pub(crate) struct Memory {
    pub(crate) resident: f64,
    pub(crate) peak: f64,
}

impl Memory {
    /// The memory of a process. `None` if it has ended.
    pub(crate) fn of(pid: &str) -> Option<Self> {
        let mib = |name| {
            let value = machine::field(&format!("/proc/{pid}/status"), name)?;
            let kib: f64 = value.trim_end_matches(" kB").parse().ok()?;
            Some(kib / 1024.0)
        };
        Some(Self {
            resident: mib("VmRSS")?,
            peak: mib("VmHWM")?,
        })
    }
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} MiB (peak {:.1})", self.resident, self.peak)
    }
}

impl Operator {
    /// Starts this command, with the flags for the namespace and the admin port added.
    pub(crate) fn start(kubeconfig: &Path, logs: &Path, command: &[&str]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let stderr = logs.join(format!("operator-{n}.err"));
        let admin = format!("127.0.0.1:{}", controlplane::free_port().unwrap());
        let place = ["--namespace", OPERATOR_NAMESPACE, "--admin-listen", &admin];
        let [program, arguments @ ..] = command else {
            unreachable!("a command line has a program")
        };
        let begun = Instant::now();
        let process = Process::start(
            Path::new(program),
            &[arguments, &place].concat(),
            &[("KUBECONFIG", kubeconfig)],
            &logs.join(format!("operator-{n}.out")),
            &stderr,
        );
        Self {
            process: process.unwrap(),
            admin,
            stderr,
            begun,
        }
    }

    /// Waits until it is ready.
    pub(crate) async fn ready(&self) {
        self.until("ready", Duration::from_millis(5), || self.is_ready())
            .await;
    }

    /// Waits until `holds` returns true. Calls it at this interval.
    pub(crate) async fn until(&self, what: &str, look: Duration, mut holds: impl FnMut() -> bool) {
        let mut tick = tokio::time::interval(look);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        while !holds() {
            assert!(self.begun.elapsed() < START, "not {what} within {START:?}");
            tick.tick().await;
        }
    }

    fn is_ready(&self) -> bool {
        self.get("/readyz")
            .is_some_and(|answer| answer.starts_with("HTTP/1.0 200"))
    }

    /// The sum of the series whose name and labels begin with this text.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").unwrap_or_default();
        let series = text.lines().filter(|line| line.starts_with(name));
        series
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Head and body of the admin port's response for a path.
    pub(crate) fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(&self.admin).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    pub(crate) fn memory(&self) -> Memory {
        Memory::of(self.process.pid()).expect("a running process")
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.stderr).unwrap_or_default();
            let last: Vec<_> = log.lines().rev().take(20).collect();
            for line in last.iter().rev() {
                eprintln!("operator: {line}");
            }
        }
    }
}
