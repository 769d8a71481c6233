//! Logs on standard error, and traces if the environment enables them.

mod parent;
mod sender;
mod traces;

pub mod api_request;

use tokio::runtime::Handle;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

pub use self::parent::adopt;
pub use self::traces::{RECONCILE, TARGET, Traces};
use crate::config::{self, LogFormat};

/// Libraries that log bytes of requests or TLS, or text of callers, at finer levels. They are
/// limited to these levels.
const CAPPED: [(&str, tracing::Level); 5] = [
    // It warns of each connection that violates HTTP/2; a metric counts these.
    ("h2", tracing::Level::ERROR),
    ("hyper", tracing::Level::INFO),
    ("hyper_util", tracing::Level::INFO),
    ("rustls", tracing::Level::INFO),
    ("tower", tracing::Level::INFO),
];

/// Starts logging. `filter` is a level, or `target=level` pairs separated by commas.
///
/// Traces are started if the environment enables them, for a process named `service`; the caller
/// must flush them at the end. Without traces, logs are the only layer.
///
/// # Errors
/// `filter` is invalid, or logging was started before.
pub fn init(
    format: LogFormat,
    filter: &str,
    service: &'static str,
    runtime: &Handle,
) -> Result<Option<Traces>, Box<dyn std::error::Error>> {
    let targets = cap(filter.parse()?);
    let layer = fmt::layer()
        .with_writer(std::io::stderr)
        .with_span_events(FmtSpan::NONE);
    let layer = match format {
        LogFormat::Text => {
            use std::io::IsTerminal as _;
            layer
                .with_ansi(std::io::stderr().is_terminal())
                .with_target(false)
                .boxed()
        }
        LogFormat::Json => layer
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .boxed(),
    };
    let logs = tracing_subscriber::registry().with(layer.with_filter(targets));
    if !config::traces_wanted() {
        logs.try_init()?;
        return Ok(None);
    }
    match Traces::start(service, runtime) {
        Ok(traces) => {
            logs.with(traces.layer()).try_init()?;
            tracing::info!("Sending traces");
            Ok(Some(traces))
        }
        Err(error) => {
            logs.try_init()?;
            tracing::warn!(%error, "No traces are sent");
            Ok(None)
        }
    }
}

/// Excludes bytes, and spans that are only for traces, from the logs.
fn cap(targets: Targets) -> Targets {
    let targets = targets.with_target(TARGET, LevelFilter::OFF);
    CAPPED.into_iter().fold(targets, |targets, (target, most)| {
        let next = match most {
            tracing::Level::ERROR => tracing::Level::WARN,
            _ => tracing::Level::DEBUG,
        };
        if targets.would_enable(target, &next) {
            targets.with_target(target, most)
        } else {
            targets
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_that_see_bytes_and_spans_for_traces_stay_quiet_at_trace_level() {
        let targets = cap("trace".parse().unwrap());
        assert!(targets.would_enable("apikey_operator", &tracing::Level::TRACE));
        assert!(!targets.would_enable("hyper", &tracing::Level::DEBUG));
        assert!(!cap("hyper=trace".parse().unwrap()).would_enable("hyper", &tracing::Level::TRACE));
        assert!(!cap("trace".parse().unwrap()).would_enable(TARGET, &tracing::Level::ERROR));
        assert!(!cap("error".parse().unwrap()).would_enable("hyper", &tracing::Level::INFO));
        assert!(!cap("warn".parse().unwrap()).would_enable("h2", &tracing::Level::WARN));
    }
}
