//! Watches of the API server, for the controller and for the token server.
//!
//! Streams are pruned before anything is stored: `managedFields` and the last applied configuration
//! are most of an object and nobody here needs them.

mod backoff;
pub mod progress;
pub mod relist;
pub mod roster;
pub mod stored;
pub mod watched;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use self::backoff::Backoff;
use self::progress::Progress;
use self::watched::Part;
use crate::metrics::Metrics;

/// Objects in one answer of a list. A small page keeps the peak of memory at start low.
const PAGE_SIZE: u32 = 100;
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Running watches. They end when this is dropped.
#[derive(Debug)]
pub struct Feed {
    tasks: JoinSet<()>,
    metrics: Metrics,
    progress: Progress,
    timeout_seconds: u32,
}

impl Feed {
    /// Without watches yet; `progress` will tell how far they are. A watch that hears nothing for
    /// `timeout_seconds` is opened anew, so that a dead connection is noticed.
    #[must_use]
    pub fn new(metrics: &Metrics, progress: Progress, timeout_seconds: u32) -> Self {
        Self {
            tasks: JoinSet::new(),
            metrics: metrics.clone(),
            progress,
            timeout_seconds,
        }
    }

    /// How far its watches are.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Starts a watch of a part of `what`: of the objects that `narrow` leaves of all. What `read`
    /// understands of an object is pruned and goes to `take`.
    pub fn follow<W, K>(
        &mut self,
        (what, part): (&'static str, &Part),
        api: Api<W>,
        narrow: impl FnOnce(watcher::Config) -> watcher::Config,
        read: impl Fn(W) -> Option<K> + Send + 'static,
        mut take: impl FnMut(Event<K>) + Send + 'static,
    ) where
        W: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
        K: Send + 'static,
    {
        let config = watcher::Config::default()
            .timeout(self.timeout_seconds)
            .page_size(PAGE_SIZE);
        let config = narrow(config);
        let kind = W::kind(&()).into_owned();
        let metrics = self.metrics.clone();
        let (progress, id) = (self.progress.clone(), self.progress.begin(what, part));
        self.tasks.spawn(async move {
            let mut events = watcher(api, config).backoff(Backoff::default()).boxed();
            loop {
                match events.try_next().await {
                    Ok(Some(event)) => {
                        let is_whole = matches!(event, Event::InitDone);
                        // The first pages of a list are no news of what broke.
                        let is_news = !matches!(event, Event::Init | Event::InitApply(_));
                        if let Some(event) = convert(event, &read) {
                            take(event);
                        }
                        if is_whole {
                            progress.listed(id);
                        }
                        if is_news {
                            progress.told(id);
                        }
                    }
                    Ok(None) => return,
                    Err(error) => {
                        metrics.watch_failed(&kind);
                        if is_forbidden(&error) {
                            progress.refused(id, Instant::now());
                        } else {
                            progress.broke(id, Instant::now());
                        }
                        tracing::warn!(kind, %error, "A watch failed; it is opened anew");
                    }
                }
            }
        });
    }
}

fn is_forbidden(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) =
        error
    else {
        return false;
    };
    matches!(error, kube::Error::Api(status) if status.is_forbidden())
}

/// An object of ours, if this program understands it. One that it does not (stored by a newer
/// version) must not stop the watch.
pub fn decoded<K: Resource<DynamicType = ()>>(guarded: DeserializeGuard<K>) -> Option<K> {
    match guarded.0 {
        Ok(mut object) => {
            prune(object.meta_mut());
            Some(object)
        }
        Err(invalid) => {
            let (namespace, name) = (invalid.metadata.namespace, invalid.metadata.name);
            let kind = K::kind(&());
            tracing::warn!(%kind, namespace, name, error = %invalid.error,
                "Ignoring an object that this version does not understand");
            None
        }
    }
}

/// Any object, pruned.
pub fn pruned<K: Resource<DynamicType = ()>>(mut object: K) -> Option<K> {
    prune(object.meta_mut());
    Some(object)
}

/// Drops what nobody here needs.
pub fn prune(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(LAST_APPLIED);
        if annotations.is_empty() {
            metadata.annotations = None;
        }
    }
}

fn convert<W, K>(event: Event<W>, read: impl Fn(W) -> Option<K>) -> Option<Event<K>> {
    Some(match event {
        Event::Apply(object) => Event::Apply(read(object)?),
        Event::Delete(object) => Event::Delete(read(object)?),
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(read(object)?),
        Event::InitDone => Event::InitDone,
    })
}
