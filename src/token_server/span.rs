//! The span of a request to the token server. It contains no text of the caller.

use axum::http::{HeaderMap, StatusCode};
use tracing::Span;
use tracing::field::Empty;

use super::route_label::Route;
use crate::telemetry::{TARGET, adopt};

/// Starts the span of a request, as part of the caller's trace.
#[must_use]
pub fn begin(route: Route, headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        target: TARGET,
        "request",
        otel.name = route.as_str(),
        otel.kind = "server",
        otel.status_code = Empty,
        http.response.status_code = Empty,
        route = route.as_str(),
        result = Empty,
    );
    adopt(&span, headers);
    span
}

/// Records the status of the response.
pub fn end(span: &Span, status: StatusCode) {
    if span.is_disabled() {
        return;
    }
    span.record("http.response.status_code", status.as_u16());
    span.record("result", result(status));
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}

fn result(status: StatusCode) -> &'static str {
    match status {
        status if status.is_success() => "ok",
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
            "refused"
        }
        status if status.is_server_error() => "failed",
        _ => "invalid",
    }
}
