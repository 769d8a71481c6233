//! A watched store that also takes in our own writes.
//!
//! After a write, a plain watch cache still holds the old object until the event comes back, and a
//! reconcile in between would do the work again. Here the answer of a write is stored at once
//! (KEP-5647 has the same aim). Resource versions of one kind are comparable (KEP-5504), and a watch
//! is ordered, so an answer is older news exactly if the watch has passed its version.

use std::sync::Arc;

use kube::runtime::reflector::{ObjectRef, Store, store::Writer};
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt as _};
use parking_lot::Mutex;

/// Objects of one kind.
#[derive(Debug)]
pub struct Cache<K: Resource<DynamicType = ()> + Clone + 'static> {
    reader: Store<K>,
    state: Mutex<State<K>>,
}

#[derive(Debug)]
struct State<K: Resource<DynamicType = ()> + Clone + 'static> {
    writer: Writer<K>,
    /// Highest version that the watch has delivered.
    seen: u64,
    /// Changes whenever a list begins or ends: versions before and after can't be compared.
    epoch: u64,
    synced: bool,
}

/// Proof of when a write began; see [`Cache::record`].
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    epoch: u64,
}

/// What an event changed.
#[derive(Clone, Debug)]
pub enum News<K> {
    /// An object is new or different.
    Applied {
        /// As it is now.
        new: Arc<K>,
        /// As it was, if it was there.
        old: Option<Arc<K>>,
    },
    /// An object is gone.
    Deleted(Arc<K>),
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Default for Cache<K> {
    fn default() -> Self {
        let writer = Writer::new(());
        let state = State {
            seen: 0,
            epoch: 0,
            synced: false,
            writer,
        };
        Self {
            reader: state.writer.as_reader(),
            state: Mutex::new(state),
        }
    }
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Cache<K> {
    /// Takes in a watch event and returns what it changed.
    pub fn apply(&self, event: Event<K>) -> Vec<News<K>> {
        let mut state = self.state.lock();
        match event {
            Event::Init => {
                state.epoch += 1;
                state.writer.apply_watcher_event(&Event::Init);
                Vec::new()
            }
            Event::InitApply(object) => {
                state.seen = state.seen.max(version(&object));
                state.writer.apply_watcher_event(&Event::InitApply(object));
                Vec::new()
            }
            Event::InitDone => {
                let before = self.reader.state();
                state.epoch += 1;
                state.synced = true;
                state.writer.apply_watcher_event(&Event::InitDone);
                self.compare(&before)
            }
            Event::Apply(object) => {
                state.seen = state.seen.max(version(&object));
                let old = self.reader.get(&ObjectRef::from_obj(&object));
                if old
                    .as_ref()
                    .is_some_and(|old| version(&**old) >= version(&object))
                {
                    return Vec::new();
                }
                let reference = ObjectRef::from_obj(&object);
                state.writer.apply_watcher_event(&Event::Apply(object));
                let new = self.reader.get(&reference);
                new.map(|new| News::Applied { new, old })
                    .into_iter()
                    .collect()
            }
            Event::Delete(object) => {
                state.seen = state.seen.max(version(&object));
                let old = self.reader.get(&ObjectRef::from_obj(&object));
                state.writer.apply_watcher_event(&Event::Delete(object));
                old.map(News::Deleted).into_iter().collect()
            }
        }
    }

    /// To be taken before a write whose answer is to be recorded.
    pub fn ticket(&self) -> Ticket {
        Ticket {
            epoch: self.state.lock().epoch,
        }
    }

    /// Stores the answer of a write of ours, unless the watch has already told of it or of what
    /// came after.
    pub fn record(&self, ticket: Ticket, object: K) {
        let mut state = self.state.lock();
        if ticket.epoch == state.epoch && version(&object) > state.seen {
            state.writer.apply_watcher_event(&Event::Apply(object));
        }
    }

    /// The object, if it is there.
    pub fn get(&self, reference: &ObjectRef<K>) -> Option<Arc<K>> {
        self.reader.get(reference)
    }

    /// All objects.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.reader.state()
    }

    /// The store that kube's controller runtime reads.
    pub fn reader(&self) -> Store<K> {
        self.reader.clone()
    }

    /// Whether a whole list has been taken in.
    pub fn is_synced(&self) -> bool {
        self.state.lock().synced
    }

    fn compare(&self, before: &[Arc<K>]) -> Vec<News<K>> {
        let mut news = Vec::new();
        let mut known = std::collections::BTreeMap::new();
        for old in before {
            let reference = ObjectRef::from_obj(&**old);
            let now = self.reader.get(&reference);
            if now.as_ref().is_none_or(|now| now.uid() != old.uid()) {
                news.push(News::Deleted(Arc::clone(old)));
            } else {
                known.insert((old.namespace(), old.name_any()), old);
            }
        }
        for new in self.reader.state() {
            let old = known.get(&(new.namespace(), new.name_any()));
            if old.is_none_or(|old| version(&***old) != version(&*new)) {
                news.push(News::Applied {
                    old: old.map(|old| Arc::clone(old)),
                    new,
                });
            }
        }
        news
    }
}

/// Resource version as a number; 0 if it is missing.
fn version<K: Resource>(object: &K) -> u64 {
    object
        .meta()
        .resource_version
        .as_deref()
        .and_then(|v| v.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn object(name: &str, version: u64) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.name = Some(name.into());
        object.metadata.namespace = Some("ns".into());
        object.metadata.uid = Some(name.into());
        object.metadata.resource_version = Some(version.to_string());
        object
    }

    fn synced(objects: &[ConfigMap]) -> Cache<ConfigMap> {
        let cache = Cache::default();
        cache.apply(Event::Init);
        for object in objects {
            cache.apply(Event::InitApply(object.clone()));
        }
        cache.apply(Event::InitDone);
        cache
    }

    fn stored(cache: &Cache<ConfigMap>, name: &str) -> Option<u64> {
        cache
            .get(&ObjectRef::new(name).within("ns"))
            .map(|o| version(&*o))
    }

    #[test]
    fn our_own_write_is_there_at_once_and_its_event_is_no_news() {
        let cache = synced(&[object("a", 5)]);
        cache.record(cache.ticket(), object("a", 7));
        assert_eq!(stored(&cache, "a"), Some(7));
        assert!(cache.apply(Event::Apply(object("a", 6))).is_empty());
        assert!(cache.apply(Event::Apply(object("a", 7))).is_empty());
        assert_eq!(stored(&cache, "a"), Some(7));
        assert_eq!(cache.apply(Event::Apply(object("a", 8))).len(), 1);
    }

    #[test]
    fn an_answer_that_comes_after_the_deletion_makes_no_ghost() {
        let cache = synced(&[object("a", 5)]);
        let ticket = cache.ticket();
        cache.apply(Event::Apply(object("a", 7)));
        cache.apply(Event::Delete(object("a", 8)));
        cache.record(ticket, object("a", 7));
        assert_eq!(stored(&cache, "a"), None);
    }

    #[test]
    fn an_answer_from_before_a_list_is_dropped() {
        let cache = synced(&[object("a", 5)]);
        let ticket = cache.ticket();
        cache.apply(Event::Init);
        cache.apply(Event::InitDone);
        cache.record(ticket, object("a", 9));
        assert_eq!(stored(&cache, "a"), None);
    }

    #[test]
    fn a_list_tells_what_changed_since_the_last() {
        let cache = synced(&[object("gone", 1), object("same", 2), object("changed", 3)]);
        cache.apply(Event::Init);
        for o in [object("same", 2), object("changed", 6), object("new", 7)] {
            assert!(cache.apply(Event::InitApply(o)).is_empty());
        }
        let mut news: Vec<_> = cache
            .apply(Event::InitDone)
            .iter()
            .map(|news| match news {
                News::Applied { new, old } => format!("{} {}", new.name_any(), old.is_some()),
                News::Deleted(old) => format!("-{}", old.name_any()),
            })
            .collect();
        news.sort();
        assert_eq!(news, ["-gone", "changed true", "new false"]);
    }
}
