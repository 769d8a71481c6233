//! Metrics in the Prometheus text format. The metrics of the controllers have the names of
//! controller-runtime, so that existing dashboards and alerts work.

pub mod classic;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use apikey_credential::record::Cause;

/// Buckets for the duration of a reconcile, 1 ms to 8 s. Unit: seconds.
const RECONCILE_BUCKETS: [f64; 14] = [
    0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0,
];

/// A running reconcile.
#[derive(Debug)]
pub struct Running(Gauge);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// All metrics of the process. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<RwLock<Registry>>,
    reconciles: Family<ReconcileLabels, Counter>,
    reconcile_errors: Family<ControllerLabels, Counter>,
    reconcile_seconds: Family<ControllerLabels, Histogram>,
    active_workers: Family<ControllerLabels, Gauge>,
    max_workers: Family<ControllerLabels, Gauge>,
    failures: Family<FailureLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
    leader: Family<LeaderLabels, Gauge>,
    watch_failures: Family<KindLabels, Counter>,
    unreadable_rings: Family<SecretLabels, Gauge>,
    rotations: Family<RotationLabels, Counter>,
    events_dropped: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ControllerLabels {
    controller: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReconcileLabels {
    controller: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    controller: &'static str,
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    code: String,
    method: String,
    host: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LeaderLabels {
    name: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SecretLabels {
    secret: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RotationLabels {
    trigger: &'static str,
    result: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers all metrics.
    #[must_use]
    pub fn new() -> Self {
        let metrics = Self {
            registry: Arc::default(),
            reconciles: Family::default(),
            reconcile_errors: Family::default(),
            reconcile_seconds: Family::new_with_constructor(|| Histogram::new(RECONCILE_BUCKETS)),
            active_workers: Family::default(),
            max_workers: Family::default(),
            failures: Family::default(),
            requests: Family::default(),
            leader: Family::default(),
            watch_failures: Family::default(),
            unreadable_rings: Family::default(),
            rotations: Family::default(),
            events_dropped: Counter::default(),
        };
        metrics.register();
        // Create the series now, so that the first rotation is seen as an increase.
        for cause in [Cause::Schedule, Cause::Request, Cause::Replacement] {
            for succeeded in [true, false] {
                metrics.rotations(cause, succeeded);
            }
        }
        metrics
    }

    fn register(&self) {
        let mut registry = self.registry.write();
        let r = &mut *registry;
        r.register(
            "controller_runtime_reconcile",
            "Reconciles by controller and result",
            self.reconciles.clone(),
        );
        r.register(
            "controller_runtime_reconcile_errors",
            "Reconciles that failed",
            self.reconcile_errors.clone(),
        );
        r.register(
            "controller_runtime_reconcile_time_seconds",
            "Duration of a reconcile",
            self.reconcile_seconds.clone(),
        );
        r.register(
            "controller_runtime_active_workers",
            "Reconciles that are running",
            self.active_workers.clone(),
        );
        r.register(
            "controller_runtime_max_concurrent_reconciles",
            "Reconciles that may run at the same time",
            self.max_workers.clone(),
        );
        r.register(
            "rest_client_requests",
            "Requests to the Kubernetes API by status code, method and host",
            self.requests.clone(),
        );
        r.register(
            "leader_election_master_status",
            "1 if this process holds the lease",
            self.leader.clone(),
        );
        r.register(
            "apikey_reconcile_failures",
            "Failed reconciles by class of failure",
            self.failures.clone(),
        );
        r.register(
            "apikey_watch_failures",
            "Watches that failed and were reopened",
            self.watch_failures.clone(),
        );
        r.register(
            "apikey_key_ring_unreadable",
            "1 if the stored key ring can't be read, in which case it is kept unchanged",
            self.unreadable_rings.clone(),
        );
        r.register(
            "apikey_rotations",
            "Rotations of the secrets of keys, by cause and result",
            self.rotations.clone(),
        );
        r.register(
            "apikey_events_dropped",
            "Events that were not written",
            self.events_dropped.clone(),
        );
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        r.register("apikey_operator_build", "Version of this program", build);
    }

    /// Registers the metrics of a component.
    pub fn extend(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.registry.write());
    }

    /// Registers a collector, which computes its metrics when they are scraped.
    pub fn collect_from(&self, collector: impl Collector) {
        self.registry
            .write()
            .register_collector(Box::new(collector));
    }

    /// All metrics, as text.
    ///
    /// # Errors
    /// A collector failed.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry.read())?;
        Ok(text)
    }

    /// Sets the maximum number of concurrent reconciles.
    pub fn allow_workers(&self, controller: &'static str, most: u16) {
        self.max_workers
            .get_or_create(&ControllerLabels { controller })
            .set(i64::from(most));
    }

    /// Counts a reconcile as active until the result is dropped.
    #[must_use]
    pub fn reconcile_begins(&self, controller: &'static str) -> Running {
        let labels = ControllerLabels { controller };
        let active = self.active_workers.get_or_create_owned(&labels);
        active.inc();
        Running(active)
    }

    /// Counts a finished reconcile; `failed` is the class of its failure.
    pub fn reconcile_ended(
        &self,
        controller: &'static str,
        took: Duration,
        failed: Option<&'static str>,
    ) {
        let labels = ControllerLabels { controller };
        self.reconcile_seconds
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        let result = if failed.is_some() { "error" } else { "success" };
        self.reconciles
            .get_or_create(&ReconcileLabels { controller, result })
            .inc();
        if let Some(class) = failed {
            self.reconcile_errors.get_or_create(&labels).inc();
            self.failures
                .get_or_create(&FailureLabels { controller, class })
                .inc();
        }
    }

    /// Counts a request to the Kubernetes API.
    pub fn request_ended(&self, code: String, method: String, host: String) {
        self.requests
            .get_or_create(&RequestLabels { code, method, host })
            .inc();
    }

    /// Sets whether this process holds the Lease.
    pub fn leads(&self, leads: bool) {
        let labels = LeaderLabels {
            name: apikey_api::names::CONTROLLER_LEASE,
        };
        self.leader.get_or_create(&labels).set(i64::from(leads));
    }

    /// Counts a watch that failed.
    pub fn watch_failed(&self, kind: &str) {
        self.watch_failures
            .get_or_create(&KindLabels {
                kind: kind.to_owned(),
            })
            .inc();
    }

    /// Sets whether the ring of keys in this Secret can't be read.
    pub fn ring_unreadable(&self, secret: &'static str, unreadable: bool) {
        self.unreadable_rings
            .get_or_create(&SecretLabels { secret })
            .set(i64::from(unreadable));
    }

    /// Counts a rotation: a secret of a key other than the first.
    pub fn rotation_ended(&self, cause: Cause, succeeded: bool) {
        if let Some(rotations) = self.rotations(cause, succeeded) {
            rotations.inc();
        }
    }

    fn rotations(&self, cause: Cause, succeeded: bool) -> Option<Counter> {
        let trigger = match cause {
            Cause::First => return None,
            Cause::Replacement => "replacement",
            Cause::Schedule => "schedule",
            Cause::Request => "request",
        };
        let result = if succeeded { "success" } else { "error" };
        let labels = RotationLabels { trigger, result };
        Some(self.rotations.get_or_create_owned(&labels))
    }

    /// Counts an Event that was not written.
    pub fn event_dropped(&self) {
        self.events_dropped.inc();
    }
}
