//! The control plane with both processes, and the faults of each.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::common::cluster::Cluster;
use crate::common::operator::{Memory, Operator};
use crate::server::{Server, Servers};
use crate::world::{NAMESPACE, pass};

const CHEAP: [&str; 2] = ["--argon2-memory-kib=8", "--argon2-iterations=1"];
/// How long the API server is away, in addition to its start.
const AWAY: Duration = Duration::from_secs(3);

pub(crate) struct Site {
    pub(crate) cluster: Cluster,
    servers: Servers,
    pub(crate) controller: Operator,
    pub(crate) server: Server,
    pub(crate) pids: Pids,
}

/// The process ids of controller and token server.
#[derive(Clone)]
pub(crate) struct Pids(Arc<Mutex<[String; 2]>>);

impl Site {
    pub(crate) async fn start() -> Self {
        let cluster = Cluster::start().await;
        cluster.namespace(NAMESPACE);
        let servers = Servers::of(&cluster, &[]);
        let controller = cluster.operator(&CHEAP).await;
        let server = servers.start(&[]);
        server.ready().await;
        let pids = Pids(Arc::default());
        let site = Self {
            cluster,
            servers,
            controller,
            server,
            pids,
        };
        site.publish_pids();
        site
    }

    /// Kills the controller and starts another, which waits until the lease expires.
    pub(crate) async fn kill_controller(&mut self) {
        self.controller.process.end();
        self.controller = self.cluster.start_operator(&CHEAP);
        self.publish_pids();
        self.controller.ready().await;
    }

    /// Kills the token server and starts another at the same address.
    pub(crate) async fn kill_server(&mut self) {
        self.server.operator.process.end();
        self.server = self.servers.start_at(self.server.address, &[]);
        self.publish_pids();
        self.server.ready().await;
    }

    /// Kills the API server and starts it again a while later.
    pub(crate) async fn restart_apiserver(&mut self) {
        let control_plane = &mut self.cluster.control_plane;
        control_plane.stop_apiserver();
        pass(AWAY).await;
        tokio::task::block_in_place(|| control_plane.restart_apiserver()).unwrap();
    }

    fn publish_pids(&self) {
        let both = [&self.controller.process, &self.server.operator.process];
        *self.pids.0.lock() = both.map(|process| process.pid().to_owned());
    }
}

impl Pids {
    /// The resident memory of each process that runs. Unit: MiB.
    pub(crate) fn memory(&self) -> [Option<f64>; 2] {
        let both = self.0.lock();
        both.each_ref()
            .map(|pid| Memory::of(pid).map(|memory| memory.resident))
    }
}
