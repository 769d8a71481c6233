//! Clients for the Kubernetes API: without automatic retries, counted, and able to notice dead
//! connections.
//!
//! Packets can vanish silently: a load balancer drops a connection, or a node of the control plane
//! loses power. A watch is silent most of the time, so silence alone proves nothing.
//!
//! | connections | protocol | how a dead one is noticed |
//! | --- | --- | --- |
//! | for watches | HTTP/2, many watches on each | a PING after [`PING_AFTER`], limited by [`PING_DEADLINE`] |
//! | for requests | HTTP/1.1 | the deadline of the request ends it; the kernel; the idle limit [`IDLE`] |
//! | for the Lease | HTTP/1.1, one at a time | the same; no other request waits for it |
//!
//! A PING does not count as a request at the API server. If an API server, or a proxy before it,
//! does not support HTTP/2, each watch has its own connection; the same holds for watches through
//! an HTTP proxy. There the kernel notices vanished packets, and the timeout of the watch notices
//! everything else.

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

/// Silence on a connection for watches after which it is probed with a PING.
pub const PING_AFTER: Duration = Duration::from_secs(10);
/// Longest wait for the answer to the PING.
pub const PING_DEADLINE: Duration = Duration::from_secs(10);
/// Longest idle time of a connection. Several idle connections may be dead and appear alive, and
/// each of them costs one request.
pub const IDLE: Duration = Duration::from_secs(20);
/// Longest time to open a connection, including TLS.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// Silence after which the kernel probes the other side.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(10);
/// Time between two probes of the kernel.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);
/// How long data may remain unacknowledged before the kernel ends the connection.
const UNCONFIRMED: Duration = Duration::from_secs(20);
/// HTTP/2 flow control windows of one watch, and of one connection. This much data is held in
/// memory. Unit: bytes.
const WINDOWS: (u32, u32) = (256 * 1024, 1024 * 1024);
/// Watches on one connection. An API server accepts 100 by default, and lets others wait without
/// end.
const WATCHES_PER_CONNECTION: usize = 64;

/// The clients of one process.
#[derive(Clone)]
pub struct Clients {
    /// Client for requests.
    pub requests: Client,
    /// Client for the Lease.
    pub lease: Client,
    /// Clients for watches.
    pub watches: WatchClients,
}

impl From<Client> for Clients {
    /// Uses one client for everything.
    fn from(client: Client) -> Self {
        Self {
            requests: client.clone(),
            lease: client.clone(),
            watches: WatchClients::new(move || client.clone()),
        }
    }
}

/// Clients for watches, each for as many watches as one connection accepts.
#[derive(Clone)]
pub struct WatchClients(Arc<Shared>);

struct Shared {
    make: Box<dyn Fn() -> Client + Send + Sync>,
    /// The newest client, and the number of watches that use it.
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

/// Creates clients for the cluster of the kubeconfig, or for the one that this process runs in.
///
/// # Errors
/// Neither configuration is usable; the message says what was tried.
pub async fn connect(metrics: &Metrics) -> Result<Clients, Box<dyn std::error::Error>> {
    let mut config = kubeconfig::infer(None).await?;
    // The operator retries by itself. The retries of kube would hold a request for minutes and hide
    // a throttled server.
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
    // Fails if a provider is already installed, which is fine.
    let _ = aws_lc_rs::default_provider().install_default();
    let watches = pool(&config, &layer, &[b"h2", b"http/1.1"])?;
    Ok(Clients {
        requests: pool(&config, &layer, &[])?(),
        lease: pool(&config, &layer, &[])?(),
        watches: WatchClients::new(watches),
    })
}

/// Creates clients with separate connections, which offer these protocols.
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
