//! Watches of the API server, for the controller and the token server.
//!
//! | file | pure | responsibility |
//! | --- | --- | --- |
//! | `source` | yes | what to list and watch |
//! | `stream`, `requests`, `body` | no | lists and changes, one item at a time |
//! | `event`, `error`, `relist` | yes | events, errors, and what a new list no longer contains |
//! | `scope` | yes | which namespaces are watched |
//! | `cache_sync` | yes | progress and staleness of the watches |
//! | `quarantine` | yes | objects that can't be read |
//! | `stored` | yes | credential records |

mod backoff;
mod body;
pub mod cache_sync;
pub mod error;
pub mod event;
pub mod quarantine;
pub mod relist;
mod requests;
pub mod scope;
pub mod source;
pub mod stored;
pub mod stream;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::reflector::Lookup;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use self::backoff::Backoff;
use self::cache_sync::CacheSync;
use self::event::Event;
use self::quarantine::Quarantine;
use self::scope::WatchScope;
use self::source::Source;
use self::stream::{Told, Watcher};
use crate::client::WatchClients;
use crate::metrics::Metrics;
use crate::process::Process;
use apikey_api::{ApiKey, Organization, names};
use apikey_client::clock::Clock;
use apikey_client::object::{Decode, NamespaceLabels};

/// Length to which annotations are truncated. It exceeds the length of any valid value, so that a
/// truncated value remains invalid. Unit: characters.
const MAX_ANNOTATION_CHARS: usize = 512;

/// A kind that is kept in memory.
pub trait Keep: Decode + Lookup<DynamicType = ()> {
    /// Drops the parts that are not needed after the first read.
    fn prune(&mut self) {}
}

impl Keep for ApiKey {
    fn prune(&mut self) {
        prune(&mut self.metadata);
    }
}

impl Keep for Organization {
    fn prune(&mut self) {
        prune(&mut self.metadata);
    }
}

impl Keep for NamespaceLabels {}

/// Drops metadata that decisions about keys and organizations do not depend on.
pub fn prune(metadata: &mut ObjectMeta) {
    const KEPT: [&str; 4] = [
        names::ANNOTATION_ROTATE_REQUESTED_AT,
        names::ANNOTATION_ROTATE_OVERLAP_SECONDS,
        names::ANNOTATION_ROTATE_OVERLAP_FOR,
        names::ANNOTATION_DISCARD_PREVIOUS,
    ];
    metadata.managed_fields = None;
    metadata.labels = None;
    metadata.owner_references = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.retain(|name, _| KEPT.contains(&name.as_str()));
        for value in annotations.values_mut() {
            if let Some((end, _)) = value.char_indices().nth(MAX_ANNOTATION_CHARS) {
                value.truncate(end);
                value.shrink_to_fit();
            }
        }
        if annotations.is_empty() {
            metadata.annotations = None;
        }
    }
}

/// Running watches. They end when this is dropped.
pub struct WatchSet {
    tasks: JoinSet<()>,
    clients: WatchClients,
    metrics: Metrics,
    clock: Clock,
    cache_sync: CacheSync,
    quarantine: Quarantine,
    timeout_seconds: u32,
}

impl WatchSet {
    /// Creates a set without watches; `cache_sync` reports their progress. A watch is reopened
    /// after `timeout_seconds`, so that a dead connection is noticed.
    #[must_use]
    pub fn new(process: &Process, cache_sync: CacheSync, timeout_seconds: u32) -> Self {
        Self {
            tasks: JoinSet::new(),
            clients: process.watch_clients.clone(),
            metrics: process.metrics.clone(),
            clock: process.clock.clone(),
            cache_sync,
            quarantine: process.quarantine.clone(),
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
        let mut watcher = Watcher::<K>::new(self.clients.next(), source, self.timeout_seconds);
        let (metrics, clock) = (self.metrics.clone(), self.clock.clone());
        let (cache_sync, id) = (self.cache_sync.clone(), self.cache_sync.begin(what, scope));
        let mut unreadable = self.quarantine.watch(&kind);
        self.tasks.spawn(async move {
            loop {
                match watcher.next().await {
                    Ok(Told::Event(mut event)) => {
                        let is_whole = matches!(event, Event::InitDone);
                        // The first items of a list do not prove that the list is complete.
                        let is_news = !matches!(event, Event::Init | Event::InitApply(_));
                        unreadable.note(&event);
                        prune_event(&mut event);
                        take(event);
                        if is_whole {
                            cache_sync.listed(id);
                        }
                        if is_news {
                            cache_sync.told(id);
                            cache_sync.fresh(id, clock.now());
                        }
                    }
                    Ok(Told::UpToDate) => {
                        cache_sync.told(id);
                        cache_sync.fresh(id, clock.now());
                    }
                    Err(error) => {
                        metrics.watch_failed(&kind);
                        if error.is_forbidden() {
                            cache_sync.refused(id, Instant::now());
                        } else {
                            cache_sync.broke(id, Instant::now());
                        }
                        tracing::warn!(kind, what, %error, "A watch failed; it is opened anew");
                    }
                }
            }
        });
    }
}

fn prune_event<K: Keep>(event: &mut Event<K>) {
    if let Event::InitApply(stored) | Event::Apply(stored) = event
        && let Ok(object) = &mut stored.object
    {
        object.prune();
    }
}
