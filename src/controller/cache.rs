//! A watched store that also takes in our own writes.
//!
//! After a write, a plain watch cache still holds the old object until the event comes back, and a
//! reconcile in between would do the work again. Here the answer of a write is stored at once
//! (KEP-5647 has the same aim). Resource versions of one kind are comparable (KEP-5504), and a watch
//! is ordered, so an answer is older news exactly if the watch has passed its version.
//!
//! Objects of one kind may come by several watches, one for each namespace that is watched. What is
//! known of a part (its version, whether a list is under way) says nothing about the others. A list
//! adds and changes at once, and removes when it is complete, and only in its own part.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use kube::runtime::reflector::{Lookup, ObjectRef, Store, store::Writer};
use kube::runtime::watcher::Event;
use parking_lot::Mutex;

use crate::watch::relist::{Relist, Step};
use crate::watch::watched::Part;

/// Objects of one kind.
#[derive(Debug)]
pub struct Cache<K: Lookup<DynamicType = ()> + Clone + 'static> {
    reader: Store<K>,
    state: Mutex<State<K>>,
}

#[derive(Debug)]
struct State<K: Lookup<DynamicType = ()> + Clone + 'static> {
    writer: Writer<K>,
    parts: BTreeMap<Part, Listing>,
    /// Counts beginnings and ends of lists.
    lists: u64,
}

/// Namespace and name.
type Id = (Option<String>, String);

/// How far a part is.
#[derive(Debug, Default)]
struct Listing {
    relist: Relist<Id>,
    /// Highest version that the watch has delivered.
    seen: u64,
    /// When a list last began or ended: versions before and after can't be compared.
    epoch: u64,
}

/// Proof of when a write began; see [`Cache::record`].
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    lists: u64,
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

impl<K: Lookup<DynamicType = ()> + Clone + 'static> Default for Cache<K> {
    fn default() -> Self {
        let mut writer = Writer::new(());
        // kube's store has one list. Ours are many, and the store is read once all are complete.
        writer.apply_watcher_event(&Event::Init);
        writer.apply_watcher_event(&Event::InitDone);
        let state = State {
            parts: BTreeMap::new(),
            lists: 0,
            writer,
        };
        Self {
            reader: state.writer.as_reader(),
            state: Mutex::new(state),
        }
    }
}

impl<K: Lookup<DynamicType = ()> + Clone + 'static> Cache<K> {
    /// Takes in an event of the watch of a part and returns what it changed.
    pub fn apply(&self, part: &Part, event: Event<K>) -> Vec<News<K>> {
        let state = &mut *self.state.lock();
        let listing = state.parts.entry(part.clone()).or_default();
        if matches!(event, Event::Init | Event::InitDone) {
            state.lists += 1;
            listing.epoch = state.lists;
        }
        let of_list = matches!(event, Event::InitApply(_));
        match listing.relist.take(event, id) {
            Step::Nothing => Vec::new(),
            Step::Put(object) => {
                listing.seen = listing.seen.max(version(&object));
                self.put(&mut state.writer, object, of_list)
            }
            Step::Gone(object) => {
                listing.seen = listing.seen.max(version(&object));
                self.remove(&mut state.writer, object)
            }
            Step::Complete => {
                let here: BTreeMap<_, _> = self
                    .all()
                    .into_iter()
                    .filter(|object| part.has_object(&**object))
                    .map(|object| (id(&*object), object))
                    .collect();
                let gone = listing.relist.gone(here.keys());
                gone.iter()
                    .filter_map(|id| here.get(id))
                    .flat_map(|object| self.remove(&mut state.writer, K::clone(object)))
                    .collect()
            }
        }
    }

    fn put(&self, writer: &mut Writer<K>, object: K, of_list: bool) -> Vec<News<K>> {
        let reference = ObjectRef::from_obj(&object);
        let mut old = self.reader.get(&reference);
        let mut news = Vec::new();
        if of_list {
            old = old.filter(|old| {
                let same = old.uid() == object.uid();
                if !same {
                    news.push(News::Deleted(Arc::clone(old)));
                }
                same
            });
        }
        let is_known = old.as_ref().is_some_and(|old| {
            // After a restored backup, what a list says may have a lower version.
            let (old, new) = (version(&**old), version(&object));
            if of_list { old == new } else { old >= new }
        });
        if is_known {
            return news;
        }
        writer.apply_watcher_event(&Event::Apply(object));
        let new = self.reader.get(&reference);
        news.extend(new.map(|new| News::Applied { new, old }));
        news
    }

    fn remove(&self, writer: &mut Writer<K>, object: K) -> Vec<News<K>> {
        let old = self.reader.get(&ObjectRef::from_obj(&object));
        writer.apply_watcher_event(&Event::Delete(object));
        old.map(News::Deleted).into_iter().collect()
    }

    /// To be taken before a write whose answer is to be recorded.
    pub fn ticket(&self) -> Ticket {
        Ticket {
            lists: self.state.lock().lists,
        }
    }

    /// Stores the answer of a write of ours, unless the watch has already told of it or of what
    /// came after.
    pub fn record(&self, ticket: Ticket, object: K) {
        let state = &mut *self.state.lock();
        let mut parts = state.parts.iter();
        let Some((_, listing)) = parts.find(|(part, _)| part.has_object(&object)) else {
            return;
        };
        if listing.epoch <= ticket.lists && version(&object) > listing.seen {
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
}

fn id<K: Lookup>(object: &K) -> Id {
    let namespace = object.namespace().map(Cow::into_owned);
    (namespace, object.name().unwrap_or_default().into_owned())
}

/// Resource version as a number; 0 if it is missing.
fn version<K: Lookup>(object: &K) -> u64 {
    let version = object.resource_version();
    version.and_then(|v| v.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::ResourceExt as _;

    use super::*;

    fn object(name: &str, version: u64) -> ConfigMap {
        object_in("ns", name, version)
    }

    fn object_in(namespace: &str, name: &str, version: u64) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.name = Some(name.into());
        object.metadata.namespace = Some(namespace.into());
        object.metadata.uid = Some(name.into());
        object.metadata.resource_version = Some(version.to_string());
        object
    }

    fn list(cache: &Cache<ConfigMap>, part: &Part, objects: &[ConfigMap]) -> Vec<News<ConfigMap>> {
        let objects = objects.iter().cloned().map(Event::InitApply);
        std::iter::once(Event::Init)
            .chain(objects)
            .chain([Event::InitDone])
            .flat_map(|event| cache.apply(part, event))
            .collect()
    }

    fn told(news: &[News<ConfigMap>]) -> Vec<String> {
        let mut told: Vec<_> = news
            .iter()
            .map(|news| match news {
                News::Applied { new, old } => format!("{} {}", new.name_any(), old.is_some()),
                News::Deleted(old) => format!("-{}", old.name_any()),
            })
            .collect();
        told.sort();
        told
    }

    fn synced(objects: &[ConfigMap]) -> Cache<ConfigMap> {
        let cache = Cache::default();
        list(&cache, &Part::Whole, objects);
        cache
    }

    fn stored(cache: &Cache<ConfigMap>, name: &str) -> Option<u64> {
        stored_in(cache, "ns", name)
    }

    fn stored_in(cache: &Cache<ConfigMap>, namespace: &str, name: &str) -> Option<u64> {
        let object = cache.get(&ObjectRef::new(name).within(namespace));
        object.map(|o| version(&*o))
    }

    #[test]
    fn our_own_write_is_there_at_once_and_its_event_is_no_news() {
        let cache = synced(&[object("a", 5)]);
        cache.record(cache.ticket(), object("a", 7));
        assert_eq!(stored(&cache, "a"), Some(7));
        assert!(
            cache
                .apply(&Part::Whole, Event::Apply(object("a", 6)))
                .is_empty()
        );
        assert!(
            cache
                .apply(&Part::Whole, Event::Apply(object("a", 7)))
                .is_empty()
        );
        assert_eq!(stored(&cache, "a"), Some(7));
        assert_eq!(
            cache
                .apply(&Part::Whole, Event::Apply(object("a", 8)))
                .len(),
            1
        );
    }

    #[test]
    fn an_answer_that_comes_after_the_deletion_makes_no_ghost() {
        let cache = synced(&[object("a", 5)]);
        let ticket = cache.ticket();
        cache.apply(&Part::Whole, Event::Apply(object("a", 7)));
        cache.apply(&Part::Whole, Event::Delete(object("a", 8)));
        cache.record(ticket, object("a", 7));
        assert_eq!(stored(&cache, "a"), None);
    }

    #[test]
    fn an_answer_from_before_a_list_is_dropped() {
        let cache = synced(&[object("a", 5)]);
        let ticket = cache.ticket();
        cache.apply(&Part::Whole, Event::Init);
        cache.apply(&Part::Whole, Event::InitDone);
        cache.record(ticket, object("a", 9));
        assert_eq!(stored(&cache, "a"), None);
    }

    #[test]
    fn a_list_tells_what_changed_since_the_last_and_removes_when_it_is_complete() {
        let cache = synced(&[object("gone", 1), object("same", 2), object("changed", 9)]);
        let mut again = object("again", 3);
        cache.apply(&Part::Whole, Event::Apply(again.clone()));
        again.metadata.uid = Some("another".into());
        let listed = [
            object("same", 2),
            object("changed", 6),
            object("new", 7),
            again,
        ];
        let events = listed.map(Event::InitApply);
        let mut news = cache.apply(&Part::Whole, Event::Init);
        for event in events {
            news.extend(cache.apply(&Part::Whole, event));
        }
        let so_far = ["-again", "again false", "changed true", "new false"];
        assert_eq!(told(&news), so_far);
        assert_eq!(stored(&cache, "gone"), Some(1));
        assert_eq!(told(&cache.apply(&Part::Whole, Event::InitDone)), ["-gone"]);
        assert_eq!(stored(&cache, "gone"), None);
        assert_eq!(stored(&cache, "changed"), Some(6));
    }

    #[test]
    fn a_list_of_one_namespace_leaves_the_others_alone() {
        let (a, b) = (Part::Namespace("a".into()), Part::Namespace("b".into()));
        let cache = Cache::default();
        list(
            &cache,
            &a,
            &[object_in("a", "one", 1), object_in("a", "two", 2)],
        );
        list(&cache, &b, &[object_in("b", "one", 3)]);
        assert_eq!(
            told(&list(&cache, &a, &[object_in("a", "two", 2)])),
            ["-one"]
        );
        assert_eq!(stored_in(&cache, "a", "one"), None);
        assert_eq!(stored_in(&cache, "b", "one"), Some(3));
        assert_eq!(told(&list(&cache, &b, &[])), ["-one"]);
        assert_eq!(stored_in(&cache, "a", "two"), Some(2));
    }

    #[test]
    fn what_the_watch_of_one_namespace_has_seen_says_nothing_about_another() {
        let (a, b) = (Part::Namespace("a".into()), Part::Namespace("b".into()));
        let cache = Cache::default();
        list(&cache, &a, &[object_in("a", "one", 1)]);
        list(&cache, &b, &[object_in("b", "one", 2)]);
        let ticket = cache.ticket();
        cache.apply(&a, Event::Apply(object_in("a", "one", 9)));
        cache.apply(&a, Event::Init);
        cache.record(ticket, object_in("b", "one", 5));
        assert_eq!(stored_in(&cache, "b", "one"), Some(5));
        cache.record(ticket, object_in("a", "one", 10));
        assert_eq!(stored_in(&cache, "a", "one"), Some(9), "a list began since");
        cache.record(cache.ticket(), object_in("elsewhere", "one", 11));
        assert_eq!(stored_in(&cache, "elsewhere", "one"), None);
    }
}
