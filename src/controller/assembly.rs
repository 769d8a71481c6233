//! Puts the parts of the controller together. Each gets what it needs, and nothing else.

use std::sync::Arc;

use super::apikey::KeyController;
use super::apikey::execute::Executor;
use super::apikey::mint::Minter;
use super::apikey::model::Settings;
use super::apikey::observe::Observer;
use super::apikey::report::Reporter;
use super::apikey::writes::Writer;
use super::cluster::Cluster;
use super::events::Events;
use super::keyrings::{RingController, Slot};
use super::manager::Manager;
use super::memory::LeadershipMemory;
use super::organization::OrganizationController;
use super::queues::Queues;
use super::store::Store;
use super::sweeper::RecordController;
use super::watches::WatchHandlers;
use super::workers::{Monitor, Workers};
use crate::config::{self, Common};
use crate::process::Process;
use apikey_credential::fingerprint::PepperRing;
use apikey_credential::signing::RotationPolicy;
use apikey_credential::{Hasher, SecretPool};

/// Maximum number of organizations, and of credential records, reconciled at the same time.
const SMALL_CONCURRENCY: u16 = 8;

/// The parts that are there whether or not this process leads, and those that run while it does.
#[derive(Debug)]
pub(crate) struct Assembly {
    /// The API server.
    pub(crate) cluster: Cluster,
    /// What the API server has.
    pub(crate) store: Arc<Store>,
    /// Fill the store.
    pub(crate) handlers: Arc<WatchHandlers>,
    /// Runs while this process leads.
    pub(crate) manager: Manager,
}

impl Assembly {
    /// Puts the parts together. `identity` is the name of this process in Events.
    pub(crate) fn new(
        common: &Common,
        config: &config::Controller,
        process: &Process,
        identity: String,
    ) -> Self {
        let (metrics, clock) = (process.metrics.clone(), process.clock.clone());
        let cluster = Cluster {
            client: process.client.clone(),
            namespace: common.namespace.as_str().into(),
        };
        let events = Events::start(
            process.client.clone(),
            clock.clone(),
            metrics.clone(),
            identity,
        );
        let store = Arc::<Store>::default();
        let queues = Arc::new(Queues::new(
            Arc::clone(&store),
            Arc::clone(&cluster.namespace),
        ));
        let memory = LeadershipMemory::default();
        let peppers = Arc::<Slot<PepperRing>>::default();
        let hasher = Arc::new(Hasher::new(config.argon2, common.hash_threads));
        let secret_pool = SecretPool::new(Arc::clone(&hasher));
        let writer = Writer {
            cluster: cluster.clone(),
            store: Arc::clone(&store),
            queues: Arc::clone(&queues),
        };
        let keys = KeyController {
            store: Arc::clone(&store),
            queues: Arc::clone(&queues),
            cluster: cluster.clone(),
            observer: Observer {
                store: Arc::clone(&store),
                namespace: Arc::clone(&cluster.namespace),
                replacements: Arc::clone(&memory.replacements),
                settings: settings(common, config),
                clock: clock.clone(),
            },
            executor: Executor {
                cluster: cluster.clone(),
                store: Arc::clone(&store),
                writer: writer.clone(),
                minter: Minter {
                    hasher,
                    secret_pool: Arc::clone(&secret_pool),
                    peppers: Arc::clone(&peppers),
                    clock: clock.clone(),
                },
                replacements: Arc::clone(&memory.replacements),
                clock: clock.clone(),
                metrics: metrics.clone(),
            },
            writer,
            reporter: Reporter {
                audit: process.audit.clone(),
                events: events.clone(),
                limits: Arc::clone(&memory.limits),
                reports: Arc::clone(&memory.reports),
                store: Arc::clone(&store),
                metrics: metrics.clone(),
            },
            metrics: metrics.clone(),
        };
        let organizations = OrganizationController {
            cluster: cluster.clone(),
            store: Arc::clone(&store),
            queues: Arc::clone(&queues),
            events: events.clone(),
            clock: clock.clone(),
        };
        let records = RecordController {
            cluster: cluster.clone(),
            store: Arc::clone(&store),
            queues: Arc::clone(&queues),
            watched: common.watched.clone(),
            restores: config.restore,
            audit: process.audit.clone(),
            events: events.clone(),
            clock: clock.clone(),
        };
        let handlers = Arc::new(WatchHandlers {
            store: Arc::clone(&store),
            queues: Arc::clone(&queues),
            memory: memory.clone(),
            events,
        });
        let monitor = Monitor {
            failures: Arc::clone(&memory.failures),
            limits: Arc::clone(&memory.limits),
            metrics: metrics.clone(),
        };
        let manager = Manager {
            keys: Workers::new(keys, config.concurrency, monitor.clone()),
            organizations: Workers::new(organizations, SMALL_CONCURRENCY, monitor.clone()),
            records: Workers::new(records, SMALL_CONCURRENCY, monitor),
            peppers: ring(peppers, (&cluster, &memory), config, process),
            signing_keys: ring(Arc::default(), (&cluster, &memory), config, process),
            secret_pool,
            handlers: Arc::clone(&handlers),
            queues,
            memory,
            metrics,
        };
        Self {
            cluster,
            store,
            handlers,
            manager,
        }
    }
}

/// The controller of the ring in this slot.
fn ring<R>(
    slot: Arc<Slot<R>>,
    (cluster, memory): (&Cluster, &LeadershipMemory),
    config: &config::Controller,
    process: &Process,
) -> Arc<RingController<R>> {
    Arc::new(RingController {
        cluster: cluster.clone(),
        watch_clients: process.watch_clients.clone(),
        slot,
        policy: RotationPolicy {
            algorithm: config.signing_algorithm,
            rotation_days: config.signing_key_rotation_days,
        },
        restores: config.restore,
        failures: Arc::clone(&memory.failures),
        clock: process.clock.clone(),
        metrics: process.metrics.clone(),
    })
}

fn settings(common: &Common, config: &config::Controller) -> Settings {
    Settings {
        require_organizations: common.require_organizations,
        restore: config.restore,
        email_domain: config.email_domain.as_str().into(),
        token_url: common
            .issuer_url
            .as_deref()
            .map(|issuer| format!("{issuer}{}", apikey_api::endpoints::TOKEN).into()),
    }
}
