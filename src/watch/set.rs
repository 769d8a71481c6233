//! The watches of one part of a process.

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::cache_sync::CacheSync;
use super::event::Event;
use super::keep::{Keep, prune_event};
use super::quarantine::Quarantine;
use super::scope::WatchScope;
use super::source::Source;
use super::stream::{Output, Watcher};
use crate::client::WatchClients;
use crate::metrics::Metrics;
use apikey_client::clock::Clock;

/// What all watches of a process share.
#[derive(Clone)]
pub struct WatchContext {
    /// Connections to the API server.
    pub clients: WatchClients,
    /// Counts failures.
    pub metrics: Metrics,
    /// The time.
    pub clock: Clock,
    /// Objects that can't be read.
    pub quarantine: Quarantine,
}

/// Running watches. They end when this is dropped.
pub struct WatchSet {
    tasks: JoinSet<()>,
    shared: WatchContext,
    cache_sync: CacheSync,
    timeout_seconds: u32,
}

impl WatchSet {
    /// Creates a set without watches; `cache_sync` reports their progress. A watch is reopened
    /// after `timeout_seconds`, so that a dead connection is noticed.
    #[must_use]
    pub fn new(shared: WatchContext, cache_sync: CacheSync, timeout_seconds: u32) -> Self {
        Self {
            tasks: JoinSet::new(),
            shared,
            cache_sync,
            timeout_seconds,
        }
    }

    /// Progress of the watches.
    #[must_use]
    pub fn cache_sync(&self) -> CacheSync {
        self.cache_sync.clone()
    }

    /// Starts a watch of `scope` for `what`. It passes each event to `take`.
    pub fn follow<K: Keep + Send + 'static>(
        &mut self,
        (what, scope): (&'static str, &WatchScope),
        source: Source,
        mut take: impl FnMut(Event<K>) + Send + 'static,
    ) {
        let kind = K::kind(&()).into_owned();
        let mut watcher =
            Watcher::<K>::new(self.shared.clients.next(), source, self.timeout_seconds);
        let (metrics, clock) = (self.shared.metrics.clone(), self.shared.clock.clone());
        let (cache_sync, id) = (self.cache_sync.clone(), self.cache_sync.begin(what, scope));
        let mut unreadable = self.shared.quarantine.watch(&kind);
        self.tasks.spawn(async move {
            loop {
                match watcher.next().await {
                    Ok(Output::Event(mut event)) => {
                        let is_whole = matches!(event, Event::InitDone);
                        // The first items of a list do not prove that the list is complete.
                        let is_up_to_date = !matches!(event, Event::Init | Event::InitApply(_));
                        unreadable.note(&event);
                        prune_event(&mut event);
                        take(event);
                        if is_whole {
                            cache_sync.listed(id);
                        }
                        if is_up_to_date {
                            cache_sync.delivered(id);
                            cache_sync.fresh(id, clock.now());
                        }
                    }
                    Ok(Output::UpToDate) => {
                        cache_sync.delivered(id);
                        cache_sync.fresh(id, clock.now());
                    }
                    Err(error) => {
                        metrics.watch_failed(&kind);
                        if error.is_forbidden() {
                            cache_sync.refused(id, Instant::now());
                        } else {
                            cache_sync.broke(id, Instant::now());
                        }
                        tracing::warn!(kind, what, %error, "A watch failed and is reopened");
                    }
                }
            }
        });
    }
}
