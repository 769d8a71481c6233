//! The Kubernetes client: kube's, without its own retries, and counted.

use std::sync::Arc;
use std::task::{Context, Poll};

use axum::http::{Request, Response};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use kube::Client;
use kube::client::{Body, ClientBuilder};
use tower::{Layer, Service};
use tracing::Instrument as _;

use crate::kubeconfig;
use crate::metrics::Metrics;
use crate::telemetry::api_request;

/// A client for the cluster of the kubeconfig, or the one that this runs in.
///
/// # Errors
/// Neither is usable; the message says what was tried.
pub async fn connect(metrics: &Metrics) -> Result<Client, Box<dyn std::error::Error>> {
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
    Ok(ClientBuilder::try_from(config)?.with_layer(&layer).build())
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
