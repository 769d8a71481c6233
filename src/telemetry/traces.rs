//! Traces by OTLP over HTTP. The OpenTelemetry SDK samples, batches and sends, on its own thread
//! and from a bounded queue, so that a slow collector blocks nothing.

use std::time::Duration;

use opentelemetry::Key;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;
use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use super::sender::Sender;

/// Target of spans that are only for traces and not for logs.
pub const TARGET: &str = "apikey_operator::trace";
/// Name of the span that logs and traces share.
pub const RECONCILE: &str = "reconcile";
/// Longest wait at the end for unsent spans.
const FLUSH: Duration = Duration::from_secs(3);

/// Sends spans.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Starts tracing, with requests sent on `runtime`. `service` is the name of this process if
    /// the environment has none.
    pub(super) fn start(
        service: &'static str,
        runtime: &Handle,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_http_client(Sender::new(runtime.clone())?)
            .build()?;
        let provider = SdkTracerProvider::builder()
            .with_resource(resource(service))
            .with_batch_exporter(exporter)
            .build();
        Ok(Self(provider))
    }

    /// The layer that records spans. It ignores events, which are only logged.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer(env!("CARGO_PKG_NAME")))
            .with_context_activation(false)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(is_traced).with_max_level_hint(LevelFilter::INFO))
    }

    /// Sends the remaining spans, within three seconds. Spans that end later are lost.
    pub fn flush(&self) {
        if let Err(error) = self.0.shutdown_with_timeout(FLUSH) {
            tracing::warn!(%error, "Some traces were not sent");
        }
    }
}

fn is_traced(metadata: &Metadata<'_>) -> bool {
    let ours = metadata.target() == TARGET || metadata.name() == RECONCILE;
    metadata.is_span() && ours
}

/// The resource attributes from the environment, with the name of this process.
fn resource(service: &'static str) -> Resource {
    let detected = Resource::builder().build();
    let name = detected.get(&Key::from_static_str("service.name"));
    let named = name.is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let resource = Resource::builder();
    if named {
        resource.build()
    } else {
        resource.with_service_name(service).build()
    }
}
