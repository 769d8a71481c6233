//! The span of a request to the API server.

use axum::http::{Method, StatusCode};
use tracing::Span;
use tracing::field::Empty;

use super::traces::TARGET;

/// Known resources, as written in paths.
const RESOURCES: [&str; 7] = [
    "apikeys",
    "events",
    "leases",
    "namespaces",
    "organizations",
    "secrets",
    "validatingadmissionpolicies",
];
const OTHER: &str = "other";

/// Starts the span of a request to the API server, with its method and kind of resource, and
/// without names.
#[must_use]
pub fn begin(method: &Method, path: &str) -> Span {
    tracing::info_span!(
        target: TARGET,
        "api request",
        otel.name = format!("{method} {}", resource(path)),
        otel.kind = "client",
        otel.status_code = Empty,
        http.request.method = method.as_str(),
        http.response.status_code = Empty,
        resource = resource(path),
    )
}

/// Records the status of the response; `None` if there is no response.
pub fn end(span: &Span, status: Option<StatusCode>) {
    if let Some(status) = status {
        span.record("http.response.status_code", status.as_u16());
    }
    if !status.is_some_and(|status| status.is_success()) {
        span.record("otel.status_code", "ERROR");
    }
}

/// The kind of resource in a path.
fn resource(path: &str) -> &'static str {
    let mut parts = path.split('/').skip(1);
    let group_and_version = match parts.next() {
        Some("api") => 1,
        Some("apis") => 2,
        _ => return OTHER,
    };
    let parts: Vec<_> = parts.skip(group_and_version).take(3).collect();
    let word = match parts.as_slice() {
        ["namespaces", _, resource] | [resource, ..] => *resource,
        [] => return OTHER,
    };
    let mut known = RESOURCES.into_iter();
    known.find(|known| *known == word).unwrap_or(OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_named_by_its_kind_of_resource() {
        for (path, word) in [
            ("/api/v1/namespaces", "namespaces"),
            ("/api/v1/namespaces/secrets", "namespaces"),
            ("/api/v1/namespaces/ours/secrets/namespaces", "secrets"),
            ("/apis/apikey-operator.dev/v1alpha1/apikeys", "apikeys"),
            (
                "/apis/apikey-operator.dev/v1alpha1/namespaces/a/apikeys/b/status",
                "apikeys",
            ),
            (
                "/apis/coordination.k8s.io/v1/namespaces/a/leases/b",
                "leases",
            ),
            ("/apis/apikey-operator.dev/v1alpha1", OTHER),
            ("/api/v1/namespaces/a/pods/b", OTHER),
            ("/version", OTHER),
        ] {
            assert_eq!(resource(path), word, "{path}");
        }
    }
}
