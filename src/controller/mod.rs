//! The controller: watches feed caches and queues. While this process leads, three controllers
//! (keys, organizations, credential records) process the queues.
//!
//! | file | pure | what |
//! | --- | --- | --- |
//! | `apikey/` | its decisions | the controller of keys |
//! | `organization` | no | the controller of organizations |
//! | `sweeper`, `removal`, `restore` | no | the controller of credential records: those of deleted keys are removed, those from a backup adopted |
//! | `keyrings/` | no | peppers and signing keys, one Secret each |
//! | `store`, `cache`, `relations` | yes | what the API server has: the objects, keys by organization, organizations by id and parent |
//! | `delivered`, `written` | yes | what is read of a delivered Secret |
//! | `watches` | no | applies watch events to the store, and enqueues what they affect |
//! | `cluster` | no | requests to the API server |
//! | `queues`, `queue`, `recount`, `turns` | `turns` | which objects to reconcile, and in which order |
//! | `workers` | no | the trait of the controllers, and what runs their reconciles |
//! | `leader/`, `manager` | the election | who leads, and what runs while this process leads |
//! | `memory`, `failures`, `message_limits`, `remembered` | no | state of this process while it leads: waits after failures, limits of messages, the last reports |
//! | `events`, `key_metrics` | no | Events, metrics of keys |
//! | `assembly` | no | puts the parts together; each is given what it uses |

pub mod apikey;
mod assembly;
pub mod cache;
mod cluster;
pub mod delivered;
pub mod events;
pub mod failures;
mod key_metrics;
pub mod keyrings;
pub mod leader;
mod manager;
mod memory;
pub mod message_limits;
mod organization;
pub mod queue;
mod queues;
pub mod recount;
pub mod relations;
pub mod remembered;
mod removal;
mod restore;
mod store;
mod sweeper;
#[cfg(test)]
mod testing;
pub mod turns;
mod watches;
mod workers;
pub mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;
use tokio::time::Instant;

use self::assembly::Assembly;
use self::cluster::Cluster;
use self::leader::Leadership;
use self::store::Store;
use crate::admin::Readiness;
use crate::config::{self, Common};
use crate::process::Process;
use crate::watch::cache_sync::CacheSync;
use crate::watch::scope::WatchedNamespaces;
use apikey_api::names;
use apikey_client::clock::Clock;
use apikey_client::error::{self, Error};
use apikey_credential::random;

/// Interval between two checks for something missing at the start.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Staleness of a watch above which this process is not ready: more than twice the time after which
/// a watch is reopened.
const MAX_STALENESS: SignedDuration = SignedDuration::from_mins(10);

/// Runs until the process is stopped, then lets running reconciles finish and releases the Lease.
///
/// # Errors
/// The system provides no random bytes. The controller waits for everything else.
pub async fn run(
    common: &Common,
    config: &config::Controller,
    process: &Process,
) -> Result<(), Box<dyn std::error::Error>> {
    let Process {
        metrics,
        readiness,
        stopped,
        ..
    } = process;
    readiness.not_yet("crds", "not checked yet");
    readiness.not_yet("caches", "not filled yet");
    let identity = identity()?;
    let Assembly {
        cluster,
        store,
        handlers,
        manager,
    } = Assembly::new(common, config, process, identity.clone());
    metrics.collect_from(key_metrics::KeyMetrics {
        store: Arc::clone(&store),
        require_organizations: common.require_organizations,
        per_key: config.per_key_metrics,
    });
    let filled = AtomicBool::new(false);
    let cache_sync = CacheSync::default();
    let work = async {
        wait_for_crds(&cluster, readiness).await;
        let watches = watches::start(
            &handlers,
            process,
            &common.namespace,
            &common.watched,
            cache_sync.clone(),
        );
        wait_for_caches(&store, &common.watched, &cache_sync, readiness).await;
        filled.store(true, Ordering::Relaxed);
        let leadership = if config.leader_elect {
            Leadership::elect(process, &common.namespace, identity)
        } else {
            Leadership::without_election()
        };
        manager.run(leadership, stopped.clone()).await;
        drop(watches);
    };
    let mut work = std::pin::pin!(work);
    tokio::select! {
        () = &mut work => {}
        () = watch_staleness(&process.clock, &cache_sync, readiness) => {}
        () = process.stopped() => {
            // Waiting for CRDs or caches ends with the process; leadership ends by itself.
            if filled.load(Ordering::Relaxed) {
                work.await;
            }
        }
    }
    Ok(())
}

/// The identity of this process in the Lease and in Events: the name of its pod or machine, and
/// random bytes, because a restarted container keeps the name.
fn identity() -> Result<String, random::Error> {
    let random = u32::from_be_bytes(random::bytes()?);
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    Ok(format!("{host}_{random:08x}"))
}

async fn wait_for_crds(cluster: &Cluster, readiness: &Readiness) {
    let mut look = tokio::time::interval(LOOK_AGAIN);
    let mut logged = String::new();
    loop {
        look.tick().await;
        match crds_missing(cluster).await {
            Ok(missing) if missing.is_empty() => {
                readiness.ok("crds");
                return;
            }
            Ok(missing) => {
                let why = format!(
                    "CustomResourceDefinition {} not installed; install the chart, or run: \
                     apikey-operator crds | kubectl apply --server-side -f -",
                    missing.join(", ")
                );
                if why != logged {
                    tracing::warn!("Waiting: {why}");
                }
                readiness.not_yet("crds", why.clone());
                logged = why;
            }
            Err(error) => {
                if error.to_string() != logged {
                    tracing::warn!(%error, "Waiting for the API server");
                    logged = error.to_string();
                }
                readiness.not_yet("crds", logged.clone());
            }
        }
    }
}

/// Names of the CRDs that the API server does not serve. It uses discovery, which needs no
/// permission.
async fn crds_missing(cluster: &Cluster) -> Result<Vec<String>, Error> {
    let version = format!("{}/{}", names::GROUP, names::VERSION);
    let served = cluster.client.list_api_group_resources(&version);
    let served = match error::request("ask which resources there are", served).await {
        Ok(list) => list
            .resources
            .into_iter()
            .map(|resource| resource.name)
            .collect(),
        Err(error) if error.is_not_found() => BTreeSet::new(),
        Err(error) => return Err(error),
    };
    let ours = ["apikeys", "organizations"];
    let missing = ours.iter().filter(|plural| !served.contains(**plural));
    Ok(missing
        .map(|plural| format!("{plural}.{}", names::GROUP))
        .collect())
}

async fn wait_for_caches(
    store: &Store,
    watched: &WatchedNamespaces,
    cache_sync: &CacheSync,
    readiness: &Readiness,
) {
    let mut changes = cache_sync.changes();
    loop {
        let now = Instant::now();
        let waiting = cache_sync.waiting(now);
        if waiting.is_empty() {
            tracing::info!(keys = store.caches.apikeys.all().len(), "Caches are filled");
            readiness.ok("caches");
            log_left_out_namespaces(store, watched, cache_sync);
            return;
        }
        readiness.not_yet("caches", format!("waiting for {}", waiting.join(", ")));
        changes.next(now).await;
    }
}

/// Updates readiness from the staleness of the caches. Never returns.
async fn watch_staleness(clock: &Clock, cache_sync: &CacheSync, readiness: &Readiness) {
    let mut look = tokio::time::interval(LOOK_AGAIN);
    loop {
        let waiting = cache_sync.waiting(look.tick().await);
        let stale = cache_sync.stale(MAX_STALENESS, clock.now());
        if stale.is_empty() || !waiting.is_empty() {
            readiness.ok("fresh");
        } else {
            let stale = stale.join(", ");
            let why = format!("the watch of {stale} had no update for {MAX_STALENESS:#}");
            readiness.not_yet("fresh", why);
        }
    }
}

/// Logs the namespaces whose keys are not managed, because the keys themselves do not show it.
fn log_left_out_namespaces(store: &Store, watched: &WatchedNamespaces, cache_sync: &CacheSync) {
    let refused = cache_sync.refusals().join(", ");
    if !refused.is_empty() {
        tracing::warn!(
            refused,
            "Going on without the namespaces that may not be watched: install \
            the chart again with their names in watchNamespaces, or remove them from watchNamespaces"
        );
    }
    let mut unwatched = BTreeMap::new();
    for record in store.caches.records.all() {
        let owner = record.owner.as_ref();
        if let Some(owner) = owner.filter(|owner| !watched.contains(&owner.namespace)) {
            *unwatched.entry(owner.namespace.clone()).or_insert(0) += 1;
        }
    }
    for (namespace, keys) in unwatched {
        tracing::warn!(
            namespace,
            keys,
            "This namespace is not watched any more: its keys get no \
            tokens, and their credential records are kept until it is watched again"
        );
    }
}
