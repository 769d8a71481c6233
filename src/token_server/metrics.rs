//! Metrics of the token server.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use super::check_secret::{Path, Proven};
use super::refusal::Refusal;
use super::route_label::Route;
use crate::metrics::Metrics;

/// Buckets for the duration of a request, 50 us to 6.4 s. Unit: seconds.
const REQUEST_BUCKETS: [f64; 14] = [
    0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.4, 1.6, 3.2, 6.4,
];

/// Metrics of the token server.
#[derive(Clone, Debug)]
pub struct TokenMetrics {
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram>,
    issued: Family<RouteLabels, Counter>,
    refused: Family<RefusalLabels, Counter>,
    paths: Family<PathLabels, Counter>,
    previous: Family<KeyLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    route: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PathLabels {
    path: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyLabels {
    namespace: String,
    name: String,
}

impl TokenMetrics {
    /// Registers the metrics.
    #[must_use]
    pub fn register(metrics: &Metrics) -> Self {
        let ours = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(REQUEST_BUCKETS)),
            issued: Family::default(),
            refused: Family::default(),
            paths: Family::default(),
            previous: Family::default(),
        };
        metrics.extend(|registry| {
            registry.register(
                "apikey_http_requests",
                "Requests to the token server by route and status code",
                ours.requests.clone(),
            );
            registry.register(
                "apikey_http_request_duration_seconds",
                "Time from the complete head of a request to its response",
                ours.seconds.clone(),
            );
            registry.register(
                "apikey_tokens_issued",
                "Access tokens issued by route",
                ours.issued.clone(),
            );
            registry.register(
                "apikey_refusals",
                "Refused requests by route and reason",
                ours.refused.clone(),
            );
            registry.register(
                "apikey_secrets_verified",
                "Accepted secrets by the check that decided",
                ours.paths.clone(),
            );
            registry.register(
                "apikey_previous_secret_uses",
                "Uses of a replaced secret while it is still accepted, by key",
                ours.previous.clone(),
            );
        });
        ours
    }

    /// Counts an answered request.
    pub fn answered(&self, route: Route, code: u16, took: Duration) {
        let route = route.as_str();
        self.requests
            .get_or_create(&RequestLabels { route, code })
            .inc();
        self.seconds
            .get_or_create(&RouteLabels { route })
            .observe(took.as_secs_f64());
    }

    /// Counts an issued token.
    pub fn issued(&self, route: Route) {
        let route = route.as_str();
        self.issued.get_or_create(&RouteLabels { route }).inc();
    }

    /// Counts a refusal.
    pub fn refused(&self, route: Route, refusal: Refusal) {
        let labels = RefusalLabels {
            route: route.as_str(),
            reason: refusal.as_str(),
        };
        self.refused.get_or_create(&labels).inc();
    }

    /// Counts an accepted secret.
    pub fn verified(&self, proven: &Proven) {
        if proven.replaced {
            let key = &proven.credential.key;
            let labels = KeyLabels {
                namespace: key.namespace.to_string(),
                name: key.name.to_string(),
            };
            self.previous.get_or_create(&labels).inc();
        }
        let path = match proven.path {
            Path::Fingerprint => "fingerprint",
            Path::Cache => "cache",
            Path::Argon2 => "argon2",
        };
        self.paths.get_or_create(&PathLabels { path }).inc();
    }
}
