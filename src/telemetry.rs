//! Logs on standard error.

use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use crate::config::LogFormat;

/// Libraries that would log request or TLS bytes at finer levels, or repeat us; they stay here.
const CAPPED: [(&str, tracing::Level); 6] = [
    ("h2", tracing::Level::INFO),
    ("hyper", tracing::Level::INFO),
    ("hyper_util", tracing::Level::INFO),
    // Its span around each reconcile would stand around ours.
    ("kube_runtime", tracing::Level::WARN),
    ("rustls", tracing::Level::INFO),
    ("tower", tracing::Level::INFO),
];

/// Starts logging. `filter` is a level, or `target=level` pairs separated by commas.
///
/// # Errors
/// `filter` is neither, or logging was started before.
pub fn init(format: LogFormat, filter: &str) -> Result<(), Box<dyn std::error::Error>> {
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
    tracing_subscriber::registry()
        .with(layer.with_filter(targets))
        .try_init()?;
    Ok(())
}

fn cap(targets: Targets) -> Targets {
    CAPPED.into_iter().fold(targets, |targets, (target, most)| {
        let next = match most {
            tracing::Level::WARN => tracing::Level::INFO,
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
    fn libraries_that_see_bytes_stay_quiet_at_trace_level() {
        let targets = cap("trace".parse().unwrap());
        assert!(targets.would_enable("apikey_operator", &tracing::Level::TRACE));
        assert!(!targets.would_enable("hyper", &tracing::Level::DEBUG));
        assert!(!cap("hyper=trace".parse().unwrap()).would_enable("hyper", &tracing::Level::TRACE));
        assert!(!cap("error".parse().unwrap()).would_enable("hyper", &tracing::Level::INFO));
    }
}
