//! The key rings: peppers, and the keys that sign tokens. Each is created once and stored in a
//! Secret in the operator's namespace, which all replicas share.
//!
//! The leader manages both. It reads the stored ring, stores the known ring again if the Secret is
//! deleted, and performs steps that are due. Every write replaces exactly the version it was based
//! on, so that of two controllers one succeeds and both continue from there. A stored ring that
//! can't be read is never overwritten, because a new one would invalidate what the old one proved
//! or signed. An administrator must decide what to do.

mod peppers;
mod signing;
pub mod slot;
mod stored;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::core::PartialObjectMeta;
use tokio::time::Instant;
use zeroize::Zeroizing;

pub use self::slot::Slot;
use super::cluster::Cluster;
use super::failures::Failures;
use crate::client::WatchClients;
use crate::metrics::Metrics;
use crate::watch::event::Event;
use crate::watch::source::Source;
use crate::watch::stream::{Output, Watcher};
use apikey_client::clock::Clock;
use apikey_client::error::{Class, Error};
use apikey_credential::signing::RotationPolicy;

/// Longest wait between two checks of the clock, because clocks jump.
const MOST_WAIT: Duration = Duration::from_hours(1);
/// Shortest wait, so that a clock difference causes no busy loop.
const LEAST_WAIT: Duration = Duration::from_secs(1);
/// See [`crate::watch::WatchSet::new`]. Unit: seconds.
const WATCH_TIMEOUT_SECONDS: u32 = 240;

/// A ring of keys that is stored in one Secret.
pub(crate) trait Ring: std::fmt::Debug + Sized + Send + Sync + 'static {
    /// Its name in logs and metrics.
    const NAME: &'static str;
    /// Name of the Secret.
    const SECRET: &'static str;
    /// What a new ring invalidates. It is part of a message to the administrator.
    const LOSS: &'static str;
    /// Why a stored ring can't be read, or a new one can't be created.
    type Error: std::error::Error + Send + 'static;
    /// The state of the ring that was logged last.
    type Logged: Default + Send;

    /// Parses the stored document.
    ///
    /// # Errors
    /// This program can't use the document.
    fn parse(json: &[u8]) -> Result<Self, Self::Error>;

    /// The document to store.
    ///
    /// # Errors
    /// It can't be serialized, which its types rule out.
    fn document(&self) -> Result<Zeroizing<Vec<u8>>, Self::Error>;

    /// The ring that is due at this time. It may take long, so it must not run on an async thread.
    ///
    /// # Errors
    /// A key can't be created.
    fn due(
        known: Option<&Self>,
        now: Timestamp,
        policy: RotationPolicy,
    ) -> Result<Due<Self>, Self::Error>;

    /// Logs what changed since the last call.
    fn log_changes(&self, _now: Timestamp, _logged: &mut Self::Logged) {}
}

/// The next step for a ring.
#[derive(Debug)]
pub(crate) enum Due<R> {
    /// Nothing, or nothing before this time.
    Nothing(Option<Timestamp>),
    /// Store this ring.
    Store(R),
}

/// Manages one ring.
#[derive(Debug)]
pub(crate) struct RingController<R> {
    /// The API server.
    pub(crate) cluster: Cluster,
    /// Clients for the watch of the Secret.
    pub(crate) watch_clients: WatchClients,
    /// Where the ring is kept in memory.
    pub(crate) slot: Arc<Slot<R>>,
    /// Algorithm of new signing keys, and when to create one.
    pub(crate) policy: RotationPolicy,
    /// Whether keys are restored from a backup. Then no ring is created.
    pub(crate) restores: bool,
    /// Consecutive failures, per Secret.
    pub(crate) failures: Arc<Failures>,
    /// The time.
    pub(crate) clock: Clock,
    /// Counts failures of the watch, and rings that can't be read.
    pub(crate) metrics: Metrics,
}

impl<R: Ring> RingController<R> {
    /// Manages a ring until it is dropped.
    pub(crate) async fn follow(self: Arc<Self>) {
        // Events only report that something changed; the keys are read separately.
        let metadata = Source::of::<Secret>(Some(&self.cluster.namespace)).metadata();
        let metadata = metadata.named(R::SECRET);
        let client = self.watch_clients.next();
        let mut watcher =
            Watcher::<PartialObjectMeta<Secret>>::new(client, metadata, WATCH_TIMEOUT_SECONDS);
        let mut logged = R::Logged::default();
        let mut reread = true;
        loop {
            let wait = match self.reconcile(reread).await {
                Ok(until) => {
                    self.failures.clear(R::SECRET);
                    reread = false;
                    until.map_or(MOST_WAIT, |until| {
                        let wait = until.duration_since(self.clock.now());
                        wait.try_into().unwrap_or(Duration::ZERO)
                    })
                }
                Err(error) => {
                    self.log_failure(&error);
                    reread = true;
                    self.failures.wait(R::SECRET, error.class())
                }
            };
            if let Some(ring) = self.slot.ring() {
                ring.log_changes(self.clock.now(), &mut logged);
            }
            let look_again = Instant::now() + wait.clamp(LEAST_WAIT, MOST_WAIT);
            loop {
                match tokio::time::timeout_at(look_again, watcher.next()).await {
                    Ok(Ok(Output::UpToDate | Output::Event(Event::Init | Event::InitApply(_)))) => {
                    }
                    Ok(Ok(Output::Event(Event::Apply(_) | Event::Delete(_) | Event::InitDone))) => {
                        reread = true;
                        break;
                    }
                    Ok(Err(error)) => {
                        self.metrics.watch_failed("KeyRing");
                        tracing::warn!(ring = R::NAME, %error, "A watch failed; it is reopened");
                    }
                    Err(_) => break,
                }
            }
        }
    }

    /// Reads the stored ring (if `reread`, or if none is known yet) and performs the steps that are
    /// due. Returns when the next step is due.
    ///
    /// # Errors
    /// A request failed, a key can't be created, or the stored ring can't be read.
    pub(crate) async fn reconcile(&self, mut reread: bool) -> Result<Option<Timestamp>, Error> {
        let slot = &self.slot;
        let mut lost_a_race = false;
        loop {
            if reread || slot.ring().is_none() {
                self.read().await?;
            }
            let known = slot.ring();
            let ring = match self.due(known.clone()).await? {
                Due::Nothing(until) if slot.is_stored() => return Ok(until),
                Due::Nothing(_) => known,
                Due::Store(ring) => Some(Arc::new(ring)),
            };
            let Some(ring) = ring else { return Ok(None) };
            match self.write(ring).await {
                Ok(()) => reread = false,
                // Somebody else wrote or removed the Secret first. Try again once only, because the
                // cause may last, such as a missing namespace.
                Err(error)
                    if (error.class() == Class::Conflict || error.is_not_found())
                        && !lost_a_race =>
                {
                    lost_a_race = true;
                    reread = true;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn due(&self, known: Option<Arc<R>>) -> Result<Due<R>, Error> {
        const DOING: &str = "create a key for a ring";
        if known.is_none() && self.restores {
            return Ok(Due::Nothing(None));
        }
        let (now, policy) = (self.clock.now(), self.policy);
        let making = tokio::task::spawn_blocking(move || R::due(known.as_deref(), now, policy));
        match making.await {
            Ok(due) => due.map_err(|error| Error::internal(DOING, &error)),
            Err(stopped) => Err(Error::internal(DOING, &stopped)),
        }
    }

    fn log_failure(&self, error: &Error) {
        let (secret, namespace) = (R::SECRET, &*self.cluster.namespace);
        match error.class() {
            Class::Conflict | Class::Transient | Class::Throttled(_) => {
                tracing::warn!(secret, namespace, %error, "The {} can't be kept now", R::NAME);
            }
            Class::Forbidden | Class::Rejected | Class::Bug => {
                tracing::error!(secret, namespace, %error, "The {} can't be kept", R::NAME);
            }
        }
    }
}
