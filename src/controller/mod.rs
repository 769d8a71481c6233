//! The controller: watches feed caches and queues. While this process leads, three controllers
//! (keys, organizations, credential records) process the queues.
//!
//! | file | pure | what |
//! | --- | --- | --- |
//! | `apikey/` | its decisions | the controller of keys |
//! | `organization`, `recount` | no | the controller of organizations; those whose number of keys changed |
//! | `sweeper`, `removal`, `restore` | no | the controller of credential records: those of deleted keys are removed, those from a backup adopted |
//! | `keyrings/` | no | peppers and signing keys, one Secret each |
//! | `watches`, `cache`, `relations` | all but `watches` | what the API server has; organizations by id and parent |
//! | `queue`, `turns`, `workers`, `failures` | `turns` | what is to be reconciled, in which order, by whom, and how long it waits after failures |
//! | `leader/`, `manager` | the election | who leads, and what runs while this process does |
//! | `events`, `chatter`, `remembered`, `key_metrics` | no | Events, a limit of what is logged per object, what was reported last, metrics of keys |
//! | `context` | no | what all of them share |

pub mod apikey;
pub mod cache;
pub mod chatter;
pub mod context;
pub mod events;
pub mod failures;
pub mod key_metrics;
pub mod keyrings;
pub mod leader;
pub mod manager;
pub mod organization;
pub mod queue;
pub mod recount;
pub mod relations;
pub mod remembered;
pub mod removal;
pub mod restore;
pub mod sweeper;
#[cfg(test)]
mod testing;
pub mod turns;
pub mod watches;
pub mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;
use parking_lot::Mutex;
use tokio::time::Instant;

use self::apikey::model::Settings;
use self::chatter::Chatter;
use self::context::{Caches, Context, DebugClient, Queues};
use self::events::Events;
use self::failures::Failures;
use self::keyrings::Slot;
use self::leader::Leadership;
use self::recount::Recount;
use self::remembered::Remembered;
use crate::admin::Readiness;
use crate::config::{self, Common};
use crate::process::Process;
use crate::watch::cache_sync::CacheSync;
use apikey_api::names;
use apikey_client::error::{self, Error};
use apikey_credential::signing::RotationPolicy;
use apikey_credential::{Hasher, SecretPool, random};

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
    readiness.not_yet("crds", "not looked for yet");
    readiness.not_yet("caches", "not filled yet");
    let identity = identity()?;
    let ctx = Arc::new(context(common, config, process, identity.clone()));
    metrics.collect_from(key_metrics::KeyMetrics {
        ctx: Arc::clone(&ctx),
        per_key: config.per_key_metrics,
    });
    let filled = AtomicBool::new(false);
    let cache_sync = CacheSync::default();
    let work = async {
        wait_for_crds(&ctx, readiness).await;
        let watches = watches::start(&ctx, process, cache_sync.clone());
        wait_for_caches(&ctx, &cache_sync, readiness).await;
        filled.store(true, Ordering::Relaxed);
        let leadership = if config.leader_elect {
            Leadership::elect(process, &common.namespace, identity)
        } else {
            Leadership::without_election()
        };
        manager::lead(&ctx, leadership, config.concurrency, stopped.clone()).await;
        drop(watches);
    };
    let mut work = std::pin::pin!(work);
    tokio::select! {
        () = &mut work => {}
        () = watch_staleness(&ctx, &cache_sync, readiness) => {}
        () = process.stopped() => {
            // Waiting for CRDs or caches ends with the process; leadership ends by itself.
            if filled.load(Ordering::Relaxed) {
                work.await;
            }
        }
    }
    Ok(())
}

fn context(
    common: &Common,
    config: &config::Controller,
    process: &Process,
    identity: String,
) -> Context {
    let (client, metrics) = (process.client.clone(), process.metrics.clone());
    let clock = process.clock.clone();
    let hasher = Arc::new(Hasher::new(config.argon2, common.hash_threads));
    Context {
        events: Events::start(client.clone(), clock.clone(), metrics.clone(), identity),
        audit: process.audit.clone(),
        client: DebugClient(client),
        watch_clients: process.watch_clients.clone(),
        namespace: common.namespace.clone(),
        watched: common.watched.clone(),
        settings: Settings {
            require_organizations: common.require_organizations,
            restore: config.restore,
            email_domain: config.email_domain.as_str().into(),
            token_url: common
                .issuer_url
                .as_deref()
                .map(|issuer| format!("{issuer}{}", apikey_api::endpoints::TOKEN).into()),
        },
        clock,
        secret_pool: SecretPool::new(Arc::clone(&hasher)),
        hasher,
        peppers: Slot::default(),
        signing_keys: Slot::default(),
        rotation: RotationPolicy {
            algorithm: config.signing_algorithm,
            rotation_days: config.signing_key_rotation_days,
        },
        caches: Caches::default(),
        quota_index: Mutex::default(),
        relations: Mutex::default(),
        queues: Queues::default(),
        recount: Recount::default(),
        failures: Failures::default(),
        chatter: Chatter::default(),
        replacements: Remembered::default(),
        reports: Remembered::default(),
        metrics,
    }
}

/// The identity of this process in the Lease and in Events: the name of its pod or machine, and
/// random bytes, because a restarted container keeps the name.
fn identity() -> Result<String, random::Error> {
    let random = u32::from_be_bytes(random::bytes()?);
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    Ok(format!("{host}_{random:08x}"))
}

async fn wait_for_crds(ctx: &Context, readiness: &Readiness) {
    let mut look = tokio::time::interval(LOOK_AGAIN);
    let mut told = String::new();
    loop {
        look.tick().await;
        match crds_missing(ctx).await {
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
                if why != told {
                    tracing::warn!("Waiting: {why}");
                }
                readiness.not_yet("crds", why.clone());
                told = why;
            }
            Err(error) => {
                if error.to_string() != told {
                    tracing::warn!(%error, "Waiting for the API server");
                    told = error.to_string();
                }
                readiness.not_yet("crds", told.clone());
            }
        }
    }
}

/// Names of the CRDs that the API server does not serve. It uses discovery, which needs no
/// permission.
async fn crds_missing(ctx: &Context) -> Result<Vec<String>, Error> {
    let version = format!("{}/{}", names::GROUP, names::VERSION);
    let served = ctx.client.0.list_api_group_resources(&version);
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

async fn wait_for_caches(ctx: &Context, cache_sync: &CacheSync, readiness: &Readiness) {
    let mut changes = cache_sync.changes();
    loop {
        let waiting = cache_sync.waiting(Instant::now());
        if waiting.is_empty() {
            tracing::info!(keys = ctx.caches.apikeys.all().len(), "Caches are filled");
            readiness.ok("caches");
            tell_who_is_left_out(ctx, cache_sync);
            return;
        }
        readiness.not_yet("caches", format!("waiting for {}", waiting.join(", ")));
        changes.next().await;
    }
}

/// Updates readiness from the staleness of the caches. Never returns.
async fn watch_staleness(ctx: &Context, cache_sync: &CacheSync, readiness: &Readiness) {
    let mut look = tokio::time::interval(LOOK_AGAIN);
    loop {
        let waiting = cache_sync.waiting(look.tick().await);
        let stale = cache_sync.stale(MAX_STALENESS, ctx.clock.now());
        if stale.is_empty() || !waiting.is_empty() {
            readiness.ok("fresh");
        } else {
            let stale = stale.join(", ");
            let why = format!("the watch of {stale} took in nothing for {MAX_STALENESS:#}");
            readiness.not_yet("fresh", why);
        }
    }
}

/// Logs the namespaces whose keys are not managed, because the keys themselves do not show it.
fn tell_who_is_left_out(ctx: &Context, cache_sync: &CacheSync) {
    let refused = cache_sync.refusals().join(", ");
    if !refused.is_empty() {
        tracing::warn!(
            refused,
            "Going on without the namespaces that may not be watched: install \
            the chart again with their names in watchNamespaces, or take them out of it"
        );
    }
    let mut unwatched = BTreeMap::new();
    for verifier in ctx.caches.verifiers.all() {
        let owner = verifier.owner.as_ref();
        if let Some(owner) = owner.filter(|owner| !ctx.watched.contains(&owner.namespace)) {
            *unwatched.entry(owner.namespace.clone()).or_insert(0) += 1;
        }
    }
    for (namespace, keys) in unwatched {
        tracing::warn!(
            namespace,
            keys,
            "This namespace is not watched any more: its keys get no \
            tokens, and what proves them is kept until it is watched again"
        );
    }
}
