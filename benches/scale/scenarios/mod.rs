//! The measurements with one number of keys, in this order.

mod change;
mod expiry;
mod issue;
mod restart;
mod steady;

pub(crate) use self::restart::ALONE;

use std::time::Duration;

use apikey_api::{ApiKey, Phase};
use k8s_openapi::jiff::Timestamp;
use kube::Api;

use crate::common::cluster::{Cluster, SERVICE_ACCOUNT};
use crate::common::keys;
use crate::common::operator::Operator;
use crate::common::report::{Report, progress};
use crate::create::create;
use crate::measured::Measurements;
use crate::requests::{Requests, Seen, per_key};
use crate::server::{ACCOUNT, Server, Servers};
use crate::sightings::Sightings;

pub(crate) const CREATORS: usize = 32;
pub(crate) const CHEAP: [&str; 2] = ["--argon2-memory-kib=8", "--argon2-iterations=1"];
pub(crate) const NAMESPACE: &str = "bench";
/// The role that all keys keep.
const KEPT: &str = "viewer";
/// The role that the organization takes from all keys.
const TAKEN: &str = "editor";
/// The processes, in the order of the report.
pub(crate) const WHO: [&str; 2] = ["controller", "token server"];
/// How long processes are idle before their memory is read.
pub(crate) const IDLE: Duration = Duration::from_secs(2);

/// What all measurements use.
struct Setting {
    keys: u32,
    cluster: Cluster,
    servers: Servers,
    controller_requests: Requests,
    server_requests: Requests,
    measured: Measurements,
    /// The resident memory of each process without keys. Unit: MiB.
    empty_mib: [f64; 2],
}

/// Both processes, as in production.
struct Processes {
    controller: Operator,
    server: Server,
}

impl Processes {
    /// The resident memory of each process. Unit: MiB.
    fn resident_mib(&self) -> [f64; 2] {
        [&self.controller, &self.server.operator].map(|operator| operator.memory().resident)
    }
}

impl Setting {
    /// Waits until both are idle. Returns their API requests since the last call.
    async fn settled(&mut self) -> [Seen; 2] {
        let controller = self.controller_requests.settled().await;
        [controller, self.server_requests.now()]
    }

    /// Adds the number of API requests for each key since the last call.
    async fn note_requests(&mut self, when: &str) {
        for (who, seen) in WHO.into_iter().zip(self.settled().await) {
            progress(&format!("Of the {who}: {}", per_key(&seen.work, self.keys)));
            let all: u32 = seen.work.values().sum();
            let each = f64::from(all) / f64::from(self.keys);
            let what = format!("API requests of the {who} for each key, {when}");
            self.measured.note(what, "", each);
        }
    }

    /// Adds the resident memory of both processes.
    fn note_memory(&mut self, processes: &Processes, when: &str) {
        for (who, mib) in WHO.into_iter().zip(processes.resident_mib()) {
            let what = format!("Resident memory of the {who}, {when}");
            self.measured.note(what, "MiB", mib);
        }
    }

    /// Adds the memory for each key.
    fn note_memory_per_key(&mut self, processes: &Processes, when: &str) {
        let added = processes.resident_mib().into_iter().zip(self.empty_mib);
        for (who, (now, empty)) in WHO.into_iter().zip(added) {
            let kib = (now - empty) * 1024.0 / f64::from(self.keys);
            let what = format!("Memory of the {who} for each key, {when}");
            self.measured.note(what, "KiB", kib);
        }
    }
}

pub(crate) async fn run(keys: u32, report: &mut Report) -> Measurements {
    let cluster = Cluster::start().await;
    let kubernetes = cluster.client.apiserver_version().await.unwrap();
    report.kubernetes(kubernetes.git_version);
    let servers = Servers::of(&cluster, &[]);
    let processes = Processes {
        controller: cluster.operator(&CHEAP).await,
        server: servers.start(&[]),
    };
    processes.server.ready().await;
    let mut setting = Setting {
        keys,
        controller_requests: Requests::of(&cluster, SERVICE_ACCOUNT),
        server_requests: Requests::of(&cluster, ACCOUNT),
        measured: Measurements::default(),
        empty_mib: [0.0; 2],
        cluster,
        servers,
    };
    warm_up(&setting.cluster).await;
    setting.settled().await;
    setting.empty_mib = processes.resident_mib();
    setting.note_memory(&processes, "without keys");

    let pace = issue::measure(&mut setting, &processes).await;
    steady::measure(&mut setting).await;
    change::measure(&mut setting, &processes).await;
    let processes = restart::measure(&mut setting, processes).await;
    expiry::measure(&mut setting, &processes, pace).await;
    setting.measured
}

/// Issues one key. The API server refuses watches in the first second of a definition, so the first key
/// may have to wait for the next attempt.
pub(crate) async fn warm_up(cluster: &Cluster) {
    cluster.namespace("warm-up");
    let mut active = Sightings::of_phase(cluster, "warm-up", Phase::Active).await;
    let keys = Api::namespaced(cluster.client.clone(), "warm-up");
    create(&keys, 1, vec![key(0, None)]).await;
    active.next(1).await;
}

/// A key with both roles.
pub(crate) fn key(n: u32, expiry: Option<Timestamp>) -> ApiKey {
    let mut key = keys::key(n, expiry);
    key.spec.roles = vec![KEPT.into(), TAKEN.into()];
    key
}

/// Gives the processes time for their background work.
pub(crate) async fn idle(time: Duration) {
    let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
}
