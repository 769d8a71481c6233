//! The token server, pinned to one core, under load.

use std::io::Write as _;
use std::time::Duration;

use crate::common::operator::Memory;
use crate::cpu;
use crate::load::{Group, Load, Outcome};
use crate::server::{Server, Servers};

/// The command that pins the server to its core.
pub(crate) const PINNED: [&str; 4] = ["/usr/bin/env", "taskset", "--cpu-list", cpu::SERVER];
/// Budgets that no load here exhausts, so that every refusal is a 401.
pub(crate) const NO_BUDGETS: [&str; 2] = [
    "--source-failures-per-second=100000000",
    "--failures-per-second=100000000",
];

impl Servers {
    /// Starts a server and waits until it serves.
    pub(crate) async fn ready(&self, flags: &[&str]) -> Server {
        let server = self.start(flags);
        server.ready().await;
        server
    }
}

impl Server {
    pub(crate) fn memory(&self) -> Memory {
        self.operator.memory()
    }

    /// The number of audit lines that were dropped since the start.
    pub(crate) fn audit_lines_lost(&self) -> f64 {
        self.operator.metric("apikey_audit_lines_lost")
    }

    /// Resets the peak of memory. It needs root, because the process is not dumpable.
    pub(crate) fn reset_peak(&self) {
        let path = format!("/proc/{}/clear_refs", self.operator.process.pid());
        match std::fs::OpenOptions::new().write(true).open(path) {
            Ok(mut file) => file.write_all(b"5").unwrap(),
            Err(error) => eprintln!("The peak of memory is that since the start: {error}"),
        }
    }

    /// Runs a load against the server.
    pub(crate) fn load(&self, groups: &[Group], warm_up: Duration, time: Duration) -> Outcome {
        let server = Some(self.operator.process.pid());
        let address = self.address;
        Load {
            address,
            groups,
            warm_up,
            time,
            server,
        }
        .run()
    }
}
