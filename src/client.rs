//! Clients for the Kubernetes API: without retries of their own, counted, and such that a connection on
//! which nothing comes any more is noticed.
//!
//! Packets can vanish without a word: a load balancer forgets a connection, a node of the control plane
//! loses power. A watch is silent most of the time anyway, so silence alone tells nothing.
//!
//! | connections | protocol | noticed by |
//! | --- | --- | --- |
//! | of watches | HTTP/2, many watches on each | a PING after [`PING_AFTER`] of silence, whose answer has [`PING_DEADLINE`] |
//! | of requests | HTTP/1.1 | the deadline of the request, which ends the connection; the kernel; none idles longer than [`IDLE`] |
//! | of the Lease | HTTP/1.1, one at a time | the same, and no other request waits on it |
//!
//! A PING costs the API server no request. Watches of an API server, or of a proxy before it, that does
//! not speak HTTP/2 have a connection each, and those through an HTTP proxy too: then the kernel notices
//! vanished packets, and the end of a watch's time everything else.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::{Request, Response};
use futures::FutureExt;
use futures::future::BoxFuture;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ClientBuilder, ConfigExt as _};
use kube::{Client, Config};
use parking_lot::Mutex;
use rustls::crypto::aws_lc_rs;
use tower::timeout::Timeout;
use tower::util::MapFuture;
use tower::{BoxError, Layer, Service, ServiceBuilder};
use tracing::Instrument as _;

use crate::metrics::Metrics;
use crate::telemetry::api_request;
use apikey_client::error::chain;
use apikey_client::kubeconfig;

/// Silence on a connection of watches after which it is tried.
pub const PING_AFTER: Duration = Duration::from_secs(10);
/// Longest wait for the answer to that.
pub const PING_DEADLINE: Duration = Duration::from_secs(10);
/// Longest time that a connection waits for its next request. Many may be dead and look alive, and each
/// costs one request.
pub const IDLE: Duration = Duration::from_secs(20);
/// Longest time until a connection is open, TLS included.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// Silence after which the kernel looks whether the other side is there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(10);
/// Time between two looks of the kernel.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);
/// How long the other side may confirm nothing until the kernel ends the connection.
const UNCONFIRMED: Duration = Duration::from_secs(20);
/// What may be on its way to one watch, and to all on one connection: it is held in memory. Unit: bytes.
const WINDOWS: (u32, u32) = (256 * 1024, 1024 * 1024);
/// Watches on one connection. An API server takes 100 by default, and lets others wait for ever.
const WATCHES_PER_CONNECTION: usize = 64;

/// The clients of one process.
#[derive(Clone)]
pub struct Clients {
    /// For requests.
    pub requests: Client,
    /// For the Lease.
    pub lease: Client,
    /// For watches.
    pub watches: WatchClients,
}

impl From<Client> for Clients {
    /// One client for everything.
    fn from(client: Client) -> Self {
        Self {
            requests: client.clone(),
            lease: client.clone(),
            watches: WatchClients::new(move || client.clone()),
        }
    }
}

/// Clients for watches, each for as many as one connection takes.
#[derive(Clone)]
pub struct WatchClients(Arc<Shared>);

struct Shared {
    make: Box<dyn Fn() -> Client + Send + Sync>,
    /// The last one made, and how many watches have it.
    last: Mutex<(Client, usize)>,
}

impl WatchClients {
    fn new(make: impl Fn() -> Client + Send + Sync + 'static) -> Self {
        let last = Mutex::new((make(), 0));
        Self(Arc::new(Shared {
            make: Box::new(make),
            last,
        }))
    }

    /// The client for one more watch.
    #[must_use]
    pub fn next(&self) -> Client {
        let mut last = self.0.last.lock();
        if last.1 == WATCHES_PER_CONNECTION {
            *last = ((self.0.make)(), 0);
        }
        last.1 += 1;
        last.0.clone()
    }
}

impl std::fmt::Debug for WatchClients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WatchClients")
    }
}

/// Clients for the cluster of the kubeconfig, or the one that this runs in.
///
/// # Errors
/// Neither is usable; the message says what was tried.
pub async fn connect(metrics: &Metrics) -> Result<Clients, Box<dyn std::error::Error>> {
    let mut config = kubeconfig::infer(None).await?;
    // Retries are ours: kube's would hold a request for minutes and hide a throttled server.
    config.default_retry = false;
    let layer = CountLayer {
        metrics: metrics.clone(),
        host: config
            .cluster_url
            .authority()
            .map_or("", |a| a.as_str())
            .into(),
    };
    if config.proxy_url.is_some() {
        let builder = ClientBuilder::try_from(config).map_err(|error| chain(&error))?;
        let client = builder.with_layer(&layer).build();
        return Ok(client.into());
    }
    // Fails if there is one already, which is as good.
    let _ = aws_lc_rs::default_provider().install_default();
    let watches = pool(&config, &layer, &[b"h2", b"http/1.1"])?;
    Ok(Clients {
        requests: pool(&config, &layer, &[])?(),
        lease: pool(&config, &layer, &[])?(),
        watches: WatchClients::new(watches),
    })
}

/// Makes clients with connections of their own, which offer these protocols.
fn pool(
    config: &Config,
    layer: &CountLayer,
    protocols: &[&[u8]],
) -> Result<impl Fn() -> Client + Send + Sync + use<>, Box<dyn std::error::Error>> {
    let connector = Timeout::new(connector(config, protocols)?, CONNECT_DEADLINE);
    let connector = MapFuture::new(connector, FutureExt::boxed);
    let stack = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer().map_err(|error| chain(&error))?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from);
    let (namespace, layer) = (config.default_namespace.clone(), layer.clone());
    let mut builder = legacy::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .http2_initial_stream_window_size(WINDOWS.0)
        .http2_initial_connection_window_size(WINDOWS.1)
        .http2_keep_alive_interval(PING_AFTER)
        .http2_keep_alive_timeout(PING_DEADLINE)
        .http2_keep_alive_while_idle(true);
    Ok(move || {
        let service = stack.service(builder.build(connector.clone()));
        ClientBuilder::new(service, namespace.clone())
            .with_layer(&layer)
            .build()
    })
}

fn connector(
    config: &Config,
    protocols: &[&[u8]],
) -> Result<HttpsConnector<HttpConnector>, Box<dyn std::error::Error>> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_keepalive(Some(KEEPALIVE_AFTER));
    http.set_keepalive_interval(Some(KEEPALIVE_EVERY));
    #[cfg(target_os = "linux")]
    http.set_tcp_user_timeout(Some(UNCONFIRMED));
    let mut tls = config.rustls_client_config()?;
    tls.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(match &config.tls_server_name {
        Some(name) => {
            let name = FixedServerNameResolver::new(name.clone().try_into()?);
            HttpsConnector::new(http, tls, false, Arc::new(name))
        }
        None => (http, tls).into(),
    })
}

/// Counts requests by status code.
#[derive(Clone, Debug)]
struct CountLayer {
    metrics: Metrics,
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
        let CountLayer { metrics, host } = self.layer.clone();
        let method = request.method().to_string();
        let span = api_request::begin(request.method(), request.uri().path());
        let answer = self.inner.call(request).instrument(span.clone());
        async move {
            let answer = answer.await;
            api_request::end(&span, answer.as_ref().ok().map(Response::status));
            let code = answer.as_ref().map_or_else(
                |_| "<error>".to_owned(),
                |a| a.status().as_u16().to_string(),
            );
            metrics.request_ended(code, method, host.to_string());
            answer
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn no_connection_gets_more_watches_than_it_takes() {
        let made = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&made);
        let clients = WatchClients::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            let service = tower::service_fn(async |_: Request<Body>| {
                Ok::<_, BoxError>(Response::new(axum::body::Body::empty()))
            });
            Client::new(service, "default")
        });
        for watches in 1..=3 * WATCHES_PER_CONNECTION {
            let _ = clients.next();
            let wanted = watches.div_ceil(WATCHES_PER_CONNECTION);
            assert_eq!(made.load(Ordering::Relaxed), wanted);
        }
    }
}
