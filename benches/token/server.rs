//! The token server as a process on a core of its own.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use crate::common::cluster::{Cluster, OPERATOR_NAMESPACE};
use crate::common::operator::{Memory, Operator, PROGRAM};
use crate::cpu;
use crate::load::{Group, Load, Outcome};

const SERVICE_ACCOUNT: &str = "apikey-operator-token";
/// Budgets that no load here uses up, so that every refusal is a 401.
pub(crate) const NO_BUDGETS: [&str; 2] = [
    "--source-failures-per-second=100000000",
    "--failures-per-second=100000000",
];

/// Starts token servers.
pub(crate) struct Servers<'a> {
    cluster: &'a Cluster,
    kubeconfig: PathBuf,
}

pub(crate) struct Server {
    pub(crate) operator: Operator,
    pub(crate) address: SocketAddr,
}

impl<'a> Servers<'a> {
    pub(crate) fn of(cluster: &'a Cluster) -> Self {
        let control_plane = &cluster.control_plane;
        let kubeconfig = control_plane
            .service_account_kubeconfig(OPERATOR_NAMESPACE, SERVICE_ACCOUNT)
            .expect("a kubeconfig for the ServiceAccount");
        Self {
            cluster,
            kubeconfig,
        }
    }

    /// Starts one with these flags.
    pub(crate) fn start(&self, flags: &[&str]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let listen = address.to_string();
        let command = [
            "/usr/bin/env",
            "taskset",
            "--cpu-list",
            cpu::SERVER,
            PROGRAM,
            "token-server",
            "--token-listen",
            &listen,
        ];
        let logs = self.cluster.control_plane.logs_dir();
        let operator = Operator::start(&self.kubeconfig, logs, &[&command, flags].concat());
        Server { operator, address }
    }

    /// Starts one and waits until it serves.
    pub(crate) async fn ready(&self, flags: &[&str]) -> Server {
        let server = self.start(flags);
        server.ready().await;
        server
    }
}

impl Server {
    /// Waits until it serves.
    pub(crate) async fn ready(&self) {
        self.operator.ready().await;
        let look = Duration::from_millis(1);
        let serves = || TcpStream::connect(self.address).is_ok();
        self.operator.until("serving", look, serves).await;
    }

    pub(crate) fn memory(&self) -> Memory {
        self.operator.memory()
    }

    /// Audit lines that found no room since it was started.
    pub(crate) fn audit_lines_lost(&self) -> f64 {
        self.operator.metric("apikey_audit_lines_lost")
    }

    /// Forgets the peak of memory so far. Who is not root may not: the process is not dumpable.
    pub(crate) fn reset_peak(&self) {
        let path = format!("/proc/{}/clear_refs", self.operator.process.pid());
        match std::fs::OpenOptions::new().write(true).open(path) {
            Ok(mut file) => file.write_all(b"5").unwrap(),
            Err(error) => eprintln!("The peak of memory is that since the start: {error}"),
        }
    }

    /// Puts a load on it.
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
