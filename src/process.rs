//! State that the components of one process share: clients, metrics, readiness, shutdown.

use kube::Client;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::admin::{self, Readiness};
use crate::audit::log::AuditLog;
use crate::client::{Clients, WatchClients};
use crate::config::Common;
use crate::metrics::Metrics;
use crate::server::metrics::ConnectionMetrics;
use crate::watch::WatchContext;
use crate::watch::quarantine::Quarantine;
use apikey_client::clock::Clock;

/// State that the components of one process share.
#[derive(Clone)]
pub struct Process {
    /// Client for requests to the Kubernetes API.
    pub client: Client,
    /// Client for the Lease.
    pub lease_client: Client,
    /// Clients for watches.
    pub watch_clients: WatchClients,
    /// The source of the current time.
    pub clock: Clock,
    /// Objects that can't be read.
    pub quarantine: Quarantine,
    /// Metrics.
    pub metrics: Metrics,
    /// Records audit entries.
    pub audit: AuditLog,
    /// Metrics of the connections of all ports.
    pub connections: ConnectionMetrics,
    /// Conditions for the readiness of the process.
    pub readiness: Readiness,
    /// Becomes true when the process must end.
    pub stopped: watch::Receiver<bool>,
}

impl Process {
    /// Creates the shared state of a process that ends when it is `stopped`. It registers its
    /// metrics.
    ///
    /// # Errors
    /// The system can't start the thread of the audit log.
    pub fn new(
        (clients, clock): (Clients, Clock),
        metrics: Metrics,
        stopped: watch::Receiver<bool>,
    ) -> std::io::Result<Self> {
        let audit = AuditLog::start(&metrics)?;
        let quarantine = Quarantine::default();
        metrics.collect_from(quarantine.clone());
        Ok(Self {
            client: clients.requests,
            lease_client: clients.lease,
            watch_clients: clients.watches,
            clock,
            quarantine,
            audit,
            connections: ConnectionMetrics::register(&metrics),
            metrics,
            readiness: Readiness::default(),
            stopped,
        })
    }

    /// What its watches share.
    #[must_use]
    pub fn watch_context(&self) -> WatchContext {
        WatchContext {
            clients: self.watch_clients.clone(),
            metrics: self.metrics.clone(),
            clock: self.clock.clone(),
            quarantine: self.quarantine.clone(),
        }
    }

    /// Waits until the process must end.
    pub async fn stopped(&self) {
        let mut stopped = self.stopped.clone();
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }
}

/// Serves the admin port and runs `parts` until SIGTERM or SIGINT, or until they end.
///
/// # Errors
/// The admin port can't be opened, or a component failed.
pub async fn run(
    common: &Common,
    (clients, clock): (Clients, Clock),
    metrics: Metrics,
    parts: impl AsyncFnOnce(Process) -> Result<(), Box<dyn std::error::Error>>,
) -> Result<(), Box<dyn std::error::Error>> {
    let (stop, stopped) = watch::channel(false);
    let process = Process::new((clients, clock), metrics, stopped)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (readiness, metrics) = (process.readiness.clone(), process.metrics.clone());
    let audit = process.audit.clone();
    let until_stopped = {
        let process = process.clone();
        async move { process.stopped().await }
    };
    let admin = admin::serve(
        common.admin_listen,
        readiness.clone(),
        metrics,
        process.connections.port("admin"),
        until_stopped,
    )
    .await?;
    let admin = tokio::spawn(admin);
    let signalled = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let shut_down = || {
        readiness.not_yet("running", "shutting down");
        stop.send_replace(true);
    };
    let result = until_ended(parts(process), signalled, shut_down).await;
    audit.close().await;
    admin.await?;
    tracing::info!("Stopped");
    result
}

/// Waits until `parts` end, and calls `shut_down` once they have ended or a signal arrived.
async fn until_ended<T>(
    parts: impl Future<Output = T>,
    signalled: impl Future<Output = ()>,
    shut_down: impl FnOnce(),
) -> T {
    let mut parts = std::pin::pin!(parts);
    let ended = tokio::select! {
        result = &mut parts => Some(result),
        () = signalled => None,
    };
    shut_down();
    if let Some(result) = ended {
        return result;
    }
    tracing::info!("Shutting down");
    parts.await
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn parts_that_end_by_themselves_end_the_process_with_their_result() {
        for result in [Ok(()), Err("broken")] {
            let mut was_shut_down = false;
            let signalled = std::future::pending();
            let ended = until_ended(async { result }, signalled, || was_shut_down = true).await;
            assert_eq!((ended, was_shut_down), (result, true));
        }
    }

    #[tokio::test]
    async fn after_a_signal_parts_go_on_until_they_have_ended() {
        let (shut_down, is_shut_down) = oneshot::channel();
        let parts = async { is_shut_down.await.map(|()| "ended in order") };
        let shut_down = || shut_down.send(()).unwrap();
        let ended = until_ended(parts, std::future::ready(()), shut_down).await;
        assert_eq!(ended, Ok("ended in order"));
    }
}
