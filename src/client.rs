//! The Kubernetes client: kube's, without its own retries, counted, and with a note of when the API
//! server last answered a watch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};

use axum::http::{Method, Request, Response};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use parking_lot::Mutex;
use tower::{Layer, Service};
use tracing::Instrument as _;

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::telemetry::api_request;

/// The kinds that the token server watches, as they stand in paths.
const WATCHED: [&str; 4] = ["apikeys", "namespaces", "organizations", "secrets"];

/// When the API server last answered a list or watch, for the kind that it answered longest ago.
/// ApiKeys that are watched by namespace are counted by namespace: whoever takes our rights in one
/// must not silence the others.
///
/// A watch without news is silent, and is opened anew every minute; so in good order this is never
/// much older than that.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    kinds: Arc<Mutex<BTreeMap<&'static str, i64>>>,
    oldest_second: Arc<AtomicI64>,
    namespaces: Arc<Mutex<BTreeMap<String, i64>>>,
}

impl Heard {
    fn answered(&self, path: &str, now: Timestamp) {
        let mut parts = path.rsplit('/');
        let kind = parts.next().unwrap_or_default();
        let Some(kind) = WATCHED.into_iter().find(|watched| *watched == kind) else {
            return;
        };
        let namespace = parts.next().filter(|_| parts.next() == Some("namespaces"));
        if let Some(namespace) = namespace
            && kind == "apikeys"
        {
            let mut namespaces = self.namespaces.lock();
            namespaces.insert(namespace.to_owned(), now.as_second());
            return;
        }
        let mut kinds = self.kinds.lock();
        kinds.insert(kind, now.as_second());
        let oldest = kinds.values().min().copied().unwrap_or_default();
        self.oldest_second.store(oldest, Ordering::Relaxed);
    }

    /// How long ago that was, for what is not watched by namespace.
    #[must_use]
    pub fn ago(&self, now: Timestamp) -> SignedDuration {
        since(self.oldest_second.load(Ordering::Relaxed), now)
    }

    /// How long ago that was for the keys of a namespace, where they are watched by namespace.
    #[must_use]
    pub fn ago_in(&self, namespace: &str, now: Timestamp) -> Option<SignedDuration> {
        let second = self.namespaces.lock().get(namespace).copied()?;
        Some(since(second, now))
    }

    /// How long ago that was for whatever was answered longest ago.
    #[must_use]
    pub fn longest_ago(&self, now: Timestamp) -> SignedDuration {
        let oldest = self.namespaces.lock().values().min().copied();
        let by_namespace = oldest.map(|second| since(second, now));
        self.ago(now).max(by_namespace.unwrap_or_default())
    }
}

fn since(second: i64, now: Timestamp) -> SignedDuration {
    SignedDuration::from_secs(now.as_second().saturating_sub(second))
}

/// A client for the cluster of the kubeconfig, or the one that this runs in.
///
/// # Errors
/// Neither is usable; the message says what was tried.
pub async fn connect(
    metrics: &Metrics,
    heard: &Heard,
    clock: &Clock,
) -> Result<Client, Box<dyn std::error::Error>> {
    let mut config = Config::infer().await?;
    // Retries are ours: kube's would hold a request for minutes and hide a throttled server.
    config.default_retry = false;
    let layer = CountLayer {
        metrics: metrics.clone(),
        heard: heard.clone(),
        clock: clock.clone(),
        host: config
            .cluster_url
            .authority()
            .map_or("", |a| a.as_str())
            .into(),
    };
    Ok(ClientBuilder::try_from(config)?.with_layer(&layer).build())
}

/// Counts requests by status code, and notes answers to watches.
#[derive(Clone, Debug)]
struct CountLayer {
    metrics: Metrics,
    heard: Heard,
    clock: Clock,
    host: Arc<str>,
}

impl<S> Layer<S> for CountLayer {
    type Service = Count<S>;

    fn layer(&self, inner: S) -> Count<S> {
        Count {
            inner,
            layer: self.clone(),
        }
    }
}

#[derive(Clone, Debug)]
struct Count<S> {
    inner: S,
    layer: CountLayer,
}

impl<S, B> Service<Request<Body>> for Count<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let CountLayer {
            metrics,
            heard,
            clock,
            host,
        } = self.layer.clone();
        let method = request.method().to_string();
        let path = (request.method() == Method::GET).then(|| request.uri().path().to_owned());
        let span = api_request::begin(request.method(), request.uri().path());
        let answer = self.inner.call(request).instrument(span.clone());
        async move {
            let answer = answer.await;
            api_request::end(&span, answer.as_ref().ok().map(Response::status));
            let code = answer.as_ref().map_or_else(
                |_| "<error>".to_owned(),
                |a| a.status().as_u16().to_string(),
            );
            let succeeded = answer.as_ref().is_ok_and(|a| a.status().is_success());
            if let Some(path) = path.filter(|_| succeeded) {
                heard.answered(&path, clock.now());
            }
            metrics.request_ended(code, method, host.to_string());
            answer
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_is_the_kind_that_was_answered_longest_ago() {
        let heard = Heard::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        heard.answered("/apis/apikey-operator.dev/v1alpha1/apikeys", at(100));
        heard.answered("/api/v1/namespaces/ours/secrets", at(130));
        heard.answered(
            "/apis/coordination.k8s.io/v1/namespaces/ours/leases",
            at(160),
        );
        assert_eq!(heard.ago(at(160)), SignedDuration::from_secs(60));
        heard.answered("/apis/apikey-operator.dev/v1alpha1/apikeys", at(150));
        assert_eq!(heard.ago(at(160)), SignedDuration::from_secs(30));
    }
    #[test]
    fn a_namespace_that_is_not_heard_is_not_the_whole_cluster() {
        let heard = Heard::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        let path = |ns| format!("/apis/apikey-operator.dev/v1alpha1/namespaces/{ns}/apikeys");
        heard.answered("/api/v1/namespaces", at(100));
        heard.answered(&path("a"), at(100));
        heard.answered(&path("b"), at(40));
        let seconds = SignedDuration::from_secs;
        assert_eq!(heard.ago(at(110)), seconds(10));
        assert_eq!(heard.ago_in("a", at(110)), Some(seconds(10)));
        assert_eq!(heard.ago_in("b", at(110)), Some(seconds(70)));
        assert_eq!(heard.ago_in("c", at(110)), None);
        assert_eq!(heard.longest_ago(at(110)), seconds(70));
    }
}
