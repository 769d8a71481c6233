//! The trace that a caller belongs to.

use axum::http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const TRACEPARENT: &str = "traceparent";

/// Makes `span` part of the trace in the `traceparent` header (W3C Trace Context). That header
/// contains only numbers; `tracestate` and baggage contain text of the caller and are ignored.
pub fn adopt(span: &Span, headers: &HeaderMap) {
    if span.is_disabled() || !headers.contains_key(TRACEPARENT) {
        return;
    }
    let parent = TraceContextPropagator::new().extract(&Traceparent(headers));
    // Fails only for spans that no trace layer records.
    let _ = span.set_parent(parent);
}

struct Traceparent<'a>(&'a HeaderMap);

impl Extractor for Traceparent<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let values = self.0.get(key).filter(|_| key == TRACEPARENT);
        values.and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use opentelemetry::trace::TraceContextExt as _;

    use super::*;

    #[test]
    fn a_parent_has_numbers_of_the_caller_and_no_text() {
        let mut headers = HeaderMap::new();
        let value = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        headers.insert(TRACEPARENT, HeaderValue::from_static(value));
        headers.insert("tracestate", HeaderValue::from_static("vendor=text"));
        let parent = TraceContextPropagator::new().extract(&Traceparent(&headers));
        let span = parent.span();
        let context = span.span_context();
        assert_eq!(
            context.trace_id().to_string(),
            "0af7651916cd43dd8448eb211c80319c"
        );
        assert_eq!(context.trace_state().header(), "");
    }
}
