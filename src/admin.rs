//! The admin port: `/livez`, `/readyz`, `/metrics`. It must not be public.
//!
//! Alive means that this process answers, because a restart fixes nothing else. Ready means that
//! every check of [`Readiness`] passes, on each replica, whether it leads or not.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use parking_lot::Mutex;
use tokio::net::TcpListener;

use crate::metrics::{Metrics, classic};
use crate::server::connection::Lifetime;
use crate::server::metrics::PortMetrics;
use crate::server::{self, Limits};

/// Maximum number of open connections, for probes and scrapes.
const MAX_CONNECTIONS: usize = 256;
/// Maximum number of open connections of one source.
const MAX_SOURCE_CONNECTIONS: usize = 64;
/// Prometheus scrapes again within a minute.
const LIFETIME: Lifetime = Lifetime {
    idle: Duration::from_secs(90),
    max_age: Duration::from_hours(1),
};

/// Maximum age of a rendered text that is shared with a request that is still receiving it.
const SHARED_FOR: Duration = Duration::from_secs(5);

/// Readiness checks, by name.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, Result<(), String>>>>);

impl Readiness {
    /// Marks a check as passed.
    pub fn ok(&self, check: &'static str) {
        self.0.lock().insert(check, Ok(()));
    }

    /// Marks a check as failed, with the reason.
    pub fn not_yet(&self, check: &'static str, why: impl Into<String>) {
        self.0.lock().insert(check, Err(why.into()));
    }

    /// Whether all checks pass, and one line for each in the format of Kubernetes components.
    #[must_use]
    pub fn report(&self) -> (bool, String) {
        let checks = self.0.lock();
        let mut text = String::new();
        for (check, state) in &*checks {
            let _ = match state {
                Ok(()) => writeln!(text, "[+]{check} ok"),
                Err(why) => writeln!(text, "[-]{check} failed: {why}"),
            };
        }
        (checks.values().all(Result::is_ok), text)
    }
}

/// Serves until `shutdown`.
///
/// # Errors
/// The address can't be listened on.
pub async fn serve(
    listen: SocketAddr,
    readiness: Readiness,
    metrics: Metrics,
    connections: PortMetrics,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<impl Future<Output = ()>> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    tracing::info!(%address, "Serving /livez, /readyz and /metrics");
    let routes = Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(readyz))
        .with_state(readiness)
        .merge(
            Router::new()
                .route("/metrics", get(self::metrics))
                .with_state(Texts::new(metrics)),
        );
    let limits = Limits {
        connections: MAX_CONNECTIONS,
        source_connections: MAX_SOURCE_CONNECTIONS,
        exempt: Arc::default(),
        lifetime: LIFETIME,
    };
    Ok(server::serve(
        listener,
        None,
        routes,
        limits,
        connections,
        shutdown,
    ))
}

async fn readyz(State(readiness): State<Readiness>) -> impl IntoResponse {
    let (ready, report) = readiness.report();
    let code = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (code, report)
}

/// Renders the metrics. A request gets the same text as an earlier one that is still receiving it,
/// if the text is younger than [`SHARED_FOR`]. Therefore slow readers hold few texts in memory.
#[derive(Clone)]
struct Texts {
    metrics: Metrics,
    open_metrics: Arc<Mutex<Last>>,
    classic: Arc<Mutex<Last>>,
}

/// The text that was rendered last, while a request is receiving it.
#[derive(Default)]
struct Last(Option<(Instant, Weak<String>)>);

/// The bytes of a text that several requests share.
struct Shared(Arc<String>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Texts {
    fn new(metrics: Metrics) -> Self {
        Self {
            metrics,
            open_metrics: Arc::default(),
            classic: Arc::default(),
        }
    }

    fn text(&self, is_classic: bool) -> Result<Bytes, std::fmt::Error> {
        let last = if is_classic {
            &self.classic
        } else {
            &self.open_metrics
        };
        // Other requests wait while one renders the text.
        let mut last = last.lock();
        let now = Instant::now();
        let young = last.0.as_ref().filter(|(made, _)| now - *made < SHARED_FOR);
        if let Some(text) = young.and_then(|(_, text)| text.upgrade()) {
            return Ok(Bytes::from_owner(Shared(text)));
        }
        let text = self.metrics.encode()?;
        let text = Arc::new(if is_classic {
            classic::of_open_metrics(&text)
        } else {
            text
        });
        last.0 = Some((now, Arc::downgrade(&text)));
        Ok(Bytes::from_owner(Shared(text)))
    }
}

async fn metrics(State(texts): State<Texts>, headers: HeaderMap) -> impl IntoResponse {
    let accept = headers.get_all(header::ACCEPT).iter();
    let accept: Vec<_> = accept.filter_map(|value| value.to_str().ok()).collect();
    let is_classic = classic::is_preferred(&accept.join(","));
    let (code, media_type, text) = match texts.text(is_classic) {
        Ok(text) if is_classic => (StatusCode::OK, classic::CLASSIC, text),
        Ok(text) => (StatusCode::OK, classic::OPEN_METRICS, text),
        Err(error) => {
            let plain = "text/plain; charset=utf-8";
            let code = StatusCode::INTERNAL_SERVER_ERROR;
            (code, plain, format!("{error}\n").into())
        }
    };
    (code, [(header::CONTENT_TYPE, media_type)], text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_shared_while_a_request_receives_it_and_rendered_again_otherwise() {
        let texts = Texts::new(Metrics::new());
        let one = texts.text(false).unwrap();
        let same = texts.text(false).unwrap();
        assert_eq!(one.as_ptr(), same.as_ptr());
        assert_ne!(texts.text(true).unwrap().as_ptr(), one.as_ptr());
        texts.metrics.event_dropped();
        assert_eq!(texts.text(false).unwrap(), one);
        drop((one, same));
        let new = texts.text(false).unwrap();
        assert!(
            String::from_utf8(new.to_vec())
                .unwrap()
                .contains("apikey_events_dropped_total 1")
        );
    }

    #[test]
    fn ready_means_that_every_check_holds_and_the_report_names_the_one_that_does_not() {
        let readiness = Readiness::default();
        readiness.ok("caches");
        assert_eq!(readiness.report(), (true, "[+]caches ok\n".to_owned()));
        readiness.not_yet("crds", "not installed");
        let (ready, report) = readiness.report();
        assert!(!ready && report.contains("[-]crds failed: not installed"));
    }
}
