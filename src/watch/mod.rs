//! Watches of the API server, for the controller and for the token server.
//!
//! | file | pure | what |
//! | --- | --- | --- |
//! | `source` | yes | what is listed and watched |
//! | `stream`, `requests`, `body` | no | lists and changes, one item at a time |
//! | `event`, `error`, `relist` | yes | what a watch tells, why it breaks off, what a list leaves out |
//! | `watched` | yes | which namespaces are watched |
//! | `cache_sync` | yes | how far watches are, and how old what they know may be |
//! | `quarantine` | yes | objects that can't be read |
//! | `quota_index`, `stored` | yes | keys by organization; verifiers |

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

/// Longest annotation that is kept. A longer one is longer than any that is understood, which what is
/// kept of it still shows. Unit: characters.
const MAX_ANNOTATION_CHARS: usize = 512;

/// A kind that is kept in memory.
pub trait Keep: Decode + Lookup<DynamicType = ()> {
    /// Drops what was read and nobody needs for long.
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

/// Drops what decisions about keys and organizations don't depend on.
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
    /// Without watches yet; `cache_sync` will tell how far they are. A watch that hears nothing for
    /// `timeout_seconds` is opened anew, so that a dead connection is noticed.
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

    /// How far its watches are.
    #[must_use]
    pub fn cache_sync(&self) -> CacheSync {
        self.cache_sync.clone()
    }

    /// Starts a watch of a part of `what`. Each event goes to `take`.
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
                        // The first items of a list say nothing of what comes after them.
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
