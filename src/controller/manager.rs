//! Runs the controllers while this process leads.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::apikey::KeyController;
use super::keyrings::RingController;
use super::leader::Leadership;
use super::memory::LeadershipMemory;
use super::organization::OrganizationController;
use super::queues::Queues;
use super::sweeper::RecordController;
use super::watches::WatchHandlers;
use super::workers::Workers;
use crate::metrics::Metrics;
use apikey_credential::SecretPool;
use apikey_credential::fingerprint::PepperRing;
use apikey_credential::signing::SigningRing;

/// Wait before the pepper ring is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// Shortest time between two updates of the numbers of keys.
const RECOUNT_EVERY: Duration = Duration::from_secs(5);

/// Everything that runs while this process leads.
#[derive(Debug)]
pub(crate) struct Manager {
    /// Reconcile keys.
    pub(crate) keys: Workers<KeyController>,
    /// Reconcile organizations.
    pub(crate) organizations: Workers<OrganizationController>,
    /// Reconcile credential records.
    pub(crate) records: Workers<RecordController>,
    /// Manages the peppers.
    pub(crate) peppers: Arc<RingController<PepperRing>>,
    /// Manages the keys that sign tokens.
    pub(crate) signing_keys: Arc<RingController<SigningRing>>,
    /// Is filled once there are peppers.
    pub(crate) secret_pool: Arc<SecretPool>,
    /// Warn of objects that can't be read.
    pub(crate) handlers: Arc<WatchHandlers>,
    /// Are closed at the end of leadership.
    pub(crate) queues: Arc<Queues>,
    /// Is cleared at the end of leadership.
    pub(crate) memory: LeadershipMemory,
    /// Shows whether this process leads.
    pub(crate) metrics: Metrics,
}

impl Manager {
    /// Runs the controllers whenever this process leads, until `stopped`.
    pub(crate) async fn run(&self, mut leadership: Leadership, mut stopped: watch::Receiver<bool>) {
        self.metrics.leads(false);
        loop {
            tokio::select! {
                () = leadership.begins() => {}
                _ = stopped.wait_for(|stopped| *stopped) => break,
            }
            self.metrics.leads(true);
            tracing::info!("Leading: reconciling");
            let mut stop = stopped.clone();
            let is_lost = leadership.ends();
            let ends = async move {
                tokio::select! {
                    () = is_lost => {}
                    _ = stop.wait_for(|stopped| *stopped) => {}
                }
            };
            tokio::select! {
                () = self.lead(ends) => {}
                () = leadership.is_over() => {
                    tracing::warn!("Running work is cut off: another controller may lead");
                }
            }
            self.forget();
            self.metrics.leads(false);
            tracing::info!("No longer leading");
            if *stopped.borrow() {
                break;
            }
        }
        leadership.release().await;
    }

    /// Forgets everything of a leadership that has ended.
    pub(crate) fn forget(&self) {
        self.queues.close();
        self.memory.clear();
    }

    /// Reconciles everything once, and afterwards each change, while this process leads. Returns
    /// when running reconciles have finished.
    async fn lead(&self, ends: impl Future<Output = ()>) {
        let ends = ends.shared();
        // Dropped at the end of leadership. Minting waits for the peppers, and not for the keys that
        // sign tokens.
        let mut keyrings = JoinSet::new();
        keyrings.spawn(Arc::clone(&self.signing_keys).follow());
        tokio::select! {
            () = self.ensure_peppers() => {}
            () = ends.clone() => return,
        }
        self.secret_pool.fill();
        keyrings.spawn(Arc::clone(&self.peppers).follow());
        self.queues.recount.open();
        self.keys.open();
        self.organizations.open();
        self.records.open();
        self.handlers.warn_of_unreadable();
        let recount = async {
            let mut tick = tokio::time::interval(RECOUNT_EVERY);
            loop {
                tick.tick().await;
                self.queues.enqueue_recounts();
            }
        };
        let close = async {
            ends.await;
            self.queues.close();
            std::future::pending::<()>().await;
        };
        let controllers = futures::future::join3(
            self.keys.run(),
            self.organizations.run(),
            self.records.run(),
        );
        tokio::select! {
            _ = controllers => {}
            () = recount => {}
            () = close => {}
        }
    }

    async fn ensure_peppers(&self) {
        let mut retry = tokio::time::interval(RETRY);
        loop {
            retry.tick().await;
            match self.peppers.reconcile(true).await {
                Ok(_) => return,
                Err(error) => tracing::error!(%error, "No secret can be minted yet"),
            }
        }
    }
}
