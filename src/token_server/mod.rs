//! The token server: exchanges name and secret for a short-lived JWT, and identifies callers.
//!
//! | file | pure | responsibility |
//! | --- | --- | --- |
//! | `index` | yes | all keys in memory, updated by watches |
//! | `check_secret` | yes | checks whether a secret belongs to a key |
//! | `claims`, `signer` | yes | the claims of a token, and its signature |
//! | `size` | yes | bounds of the length of a token |
//! | `check_token` | yes | checks a token against the current state of its key |
//! | `form`, `forwarded`, `document` | yes | requests, their source address, public documents |
//! | `refusal`, `limits` | yes | refusals, and budgets for them |
//! | `service` | no | handles a request from secret to token |
//! | `argon2`, `audit_log`, `last_used` | no | slow checks, the audit log of tokens, `lastUsedAt` |
//! | `watches`, `routes` | no | watches, HTTP |

pub mod argon2;
pub mod audit_log;
pub mod check_secret;
pub mod check_token;
pub mod claims;
pub mod document;
pub mod form;
pub mod forwarded;
pub mod gauges;
pub mod index;
pub mod last_used;
pub mod limits;

pub mod metrics;
pub mod openapi;
pub mod refusal;
pub mod reply;
pub mod request;
pub mod route_label;
pub mod routes;
pub mod service;
pub mod signer;
pub mod size;
pub mod span;
#[cfg(test)]
mod testing;

pub mod watch_name;
pub mod watches;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use parking_lot::RwLock;
use tokio::net::TcpListener;
use tokio::time::Instant;

use self::argon2::Argon2Path;
use self::check_secret::SecretChecker;
use self::document::Document;
use self::gauges::Gauges;
use self::index::Index;
use self::last_used::LastUsed;
use self::limits::FailureLimits;
use self::metrics::TokenMetrics;
use self::routes::App;
use self::routes::discovery::Discovery;
use self::service::Service;
use crate::config::{Common, TokenServer, issuer_path};
use crate::process::Process;
use crate::server;
use crate::server::tls::Tls;
use crate::watch::cache_sync::CacheSync;
use apikey_credential::{Argon2Cost, Hasher};

/// Runs until the process is stopped, then lets running requests finish.
///
/// # Errors
/// The port can't be opened, the certificate can't be used, or the system provides no random bytes.
/// The server waits for everything else.
pub async fn run(
    common: &Common,
    config: &TokenServer,
    process: &Process,
) -> Result<(), Box<dyn std::error::Error>> {
    process.readiness.not_yet("index", "not filled yet");
    let service = Arc::new(service(common, config, process)?);
    process.metrics.collect_from(Gauges(Arc::clone(&service)));
    let watches = watches::start(&service, process, common);
    let cache_sync = watches.cache_sync();
    let issuer_path = issuer_path(&config.issuer_url);
    let app = App {
        service: Arc::clone(&service),
        discovery: Discovery::document(&config.issuer_url),
        openapi: Document::new(openapi::json(issuer_path)),
        trusted_proxies: Arc::clone(&config.limits.exempt),
    };
    let serving = async {
        wait_until_filled(&service, &cache_sync, process).await;
        serve(routes::router(app, issuer_path), config, process).await
    };
    let result = tokio::select! {
        result = serving => result,
        () = watch_staleness(&service, &cache_sync, process) => Ok(()),
        () = service.last_used.write(&service.index, &process.client) => Ok(()),
    };
    drop(watches);
    result
}

/// Serves callers until the process is stopped.
async fn serve(
    router: Router,
    config: &TokenServer,
    process: &Process,
) -> Result<(), Box<dyn std::error::Error>> {
    let listen = config.listen;
    let listener = TcpListener::bind(listen).await;
    let listener = listener.map_err(|error| format!("--token-listen {listen}: {error}"))?;
    let address = listener.local_addr()?;
    let tls = match config.tls_files.clone() {
        Some(files) => Some(Tls::load(files).await?),
        None => None,
    };
    if tls.is_some() {
        tracing::info!(%address, "Serving tokens over TLS");
    } else {
        tracing::info!(%address, "Serving tokens without TLS, for use behind a proxy that terminates TLS");
    }
    let metrics = process.connections.port("token");
    let limits = config.limits.clone();
    server::serve(listener, tls, router, limits, metrics, process.stopped()).await;
    Ok(())
}

fn service(
    common: &Common,
    config: &TokenServer,
    process: &Process,
) -> Result<Service, Box<dyn std::error::Error>> {
    size::check_audiences(&config.audiences)?;
    let index = Arc::new(Index::new(common.require_organizations));
    let threads = common.hash_threads;
    Ok(Service {
        checker: SecretChecker::new(Arc::clone(&index))?,
        index,
        argon2: Argon2Path::new(Hasher::new(Argon2Cost::default(), threads), threads),
        limits: FailureLimits::new(
            config.source_failures_per_second,
            config.failures_per_second,
        ),
        signer: RwLock::default(),
        unusable_ring: RwLock::default(),
        issuer_url: config.issuer_url.clone(),
        audiences: config.audiences.clone(),
        max_staleness: config.max_staleness,
        watches: CacheSync::default(),
        clock: process.clock.clone(),
        audit: process.audit.clone(),
        last_used: LastUsed::new(config.record_last_used, process.clock.clone()),
        metrics: TokenMetrics::register(&process.metrics),
    })
}

/// Waits until every kind has been listed once and a signing key exists, or until the process ends.
async fn wait_until_filled(service: &Service, cache_sync: &CacheSync, process: &Process) {
    let mut changes = cache_sync.changes();
    loop {
        let now = Instant::now();
        let mut missing = cache_sync.waiting(now);
        if service.signer.read().is_none() {
            let why = service.unusable_ring.read().clone();
            let why = why.map_or_else(String::new, |why| format!(" ({why})"));
            missing.push(format!("signing keys{why}"));
        }
        if missing.is_empty() {
            tracing::info!(keys = service.index.len(), "The index is filled");
            let refused = cache_sync.refusals().join(", ");
            if !refused.is_empty() {
                tracing::warn!(
                    refused,
                    "Going on without the namespaces that may not be watched: \
                    their keys get no tokens until access is granted"
                );
            }
            process.readiness.ok("index");
            return;
        }
        let why = format!("waiting for {}", missing.join(", "));
        process.readiness.not_yet("index", why);
        // Each change of the signing ring is one of these changes.
        tokio::select! {
            () = changes.next(now) => {}
            () = process.stopped() => return,
        }
    }
}

/// Updates readiness from the staleness of the index. Never returns.
async fn watch_staleness(service: &Service, cache_sync: &CacheSync, process: &Process) {
    let mut look = tokio::time::interval(Duration::from_secs(1));
    loop {
        let tick = look.tick().await;
        let now = service.clock.now();
        let stale = cache_sync.stale(service.max_staleness, now);
        if stale.is_empty() || !cache_sync.waiting(tick).is_empty() {
            process.readiness.ok("fresh");
        } else {
            let staleness = cache_sync.staleness(now);
            let why = format!(
                "the watch of {} had no update for {staleness:#}; every key is refused",
                stale.join(", ")
            );
            process.readiness.not_yet("fresh", why);
        }
    }
}
