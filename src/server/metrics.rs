//! Metrics of connections.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::connection::Reason;
use crate::metrics::Metrics;

/// Metrics of the connections of all ports of the process.
#[derive(Clone, Debug, Default)]
pub struct ConnectionMetrics {
    open: Family<PortLabels, Gauge>,
    closed: Family<ClosedLabels, Counter>,
    shed: Family<PortLabels, Counter>,
}

/// Metrics of the connections of one port.
#[derive(Clone, Debug)]
pub struct PortMetrics {
    open: Gauge,
    closed: [(Reason, Counter); Reason::ALL.len()],
    shed: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PortLabels {
    port: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClosedLabels {
    port: &'static str,
    reason: &'static str,
}

impl ConnectionMetrics {
    /// Registers the metrics.
    #[must_use]
    pub fn register(metrics: &Metrics) -> Self {
        let ours = Self::default();
        metrics.extend(|registry| {
            registry.register(
                "apikey_connections",
                "Open connections by port",
                ours.open.clone(),
            );
            registry.register(
                "apikey_connections_closed",
                "Connections that ended, by port and reason",
                ours.closed.clone(),
            );
            registry.register(
                "apikey_requests_shed",
                "Requests that got 503 because running requests use the whole memory budget, by port",
                ours.shed.clone(),
            );
        });
        ours
    }

    /// The metrics of one port.
    #[must_use]
    pub fn port(&self, port: &'static str) -> PortMetrics {
        let closed = |reason: Reason| {
            let labels = ClosedLabels {
                port,
                reason: reason.as_str(),
            };
            (reason, self.closed.get_or_create_owned(&labels))
        };
        PortMetrics {
            open: self.open.get_or_create_owned(&PortLabels { port }),
            closed: Reason::ALL.map(closed),
            shed: self.shed.get_or_create_owned(&PortLabels { port }),
        }
    }
}

impl PortMetrics {
    /// Counts an admitted connection.
    pub(super) fn opened(&self) {
        self.open.inc();
    }

    /// Counts the end of an admitted connection.
    pub(super) fn closed(&self, reason: Reason) {
        self.open.dec();
        self.refused(reason);
    }

    /// Counts a request that was shed.
    pub(super) fn shed(&self) {
        self.shed.inc();
    }

    /// Counts a connection that was not admitted.
    pub(super) fn refused(&self, reason: Reason) {
        let mut counters = self.closed.iter();
        if let Some((_, counter)) = counters.find(|(known, _)| *known == reason) {
            counter.inc();
        }
    }
}
