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
//!
//! An object that can't be read is in no store, so nothing is done about it. That it is there is known, and
//! its deletion is news like any other.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::runtime::reflector::{Lookup, ObjectRef, Store, store::Writer};
use kube::runtime::watcher;
use parking_lot::Mutex;

use crate::object::Identity;
use crate::watch::event::Event;
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
    /// Objects that are there and can't be read.
    unreadable: BTreeMap<Id, Identity>,
    /// Counts beginnings and ends of lists.
    lists: u64,
}

/// Namespace and name.
type Id = (Option<Box<str>>, Box<str>);

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
    /// An object is gone, whether it could be read or not.
    Deleted {
        /// Which one.
        identity: Identity,
        /// As it was, if it could be read.
        old: Option<Arc<K>>,
    },
    /// An object is there, and can't be read any more, or could not be read before.
    Unreadable {
        /// Which one.
        identity: Identity,
        /// As it was, if it was there and could be read.
        old: Option<Arc<K>>,
    },
}

impl<K: Lookup<DynamicType = ()> + Clone + 'static> Default for Cache<K> {
    fn default() -> Self {
        let mut writer = Writer::new(());
        // kube's store has one list. Ours are many, and the store is read once all are complete.
        writer.apply_watcher_event(&watcher::Event::Init);
        writer.apply_watcher_event(&watcher::Event::InitDone);
        let state = State {
            parts: BTreeMap::new(),
            unreadable: BTreeMap::new(),
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
        if matches!(event, Event::Init) {
            // The state of the cluster may have been set back.
            listing.seen = 0;
        }
        let of_list = matches!(event, Event::InitApply(_));
        match listing.relist.take(event, id) {
            Step::Nothing => Vec::new(),
            Step::Put(object) => {
                let identity = Identity::of(&object);
                listing.seen = listing.seen.max(identity.version());
                let replaced = self.replaced(state, &identity, of_list);
                state.unreadable.remove(&id(&identity));
                let put = self.put(&mut state.writer, object, of_list);
                replaced.into_iter().chain(put).collect()
            }
            Step::Unreadable(identity) => {
                listing.seen = listing.seen.max(identity.version());
                let replaced = self.replaced(state, &identity, of_list);
                state.unreadable.insert(id(&identity), identity.clone());
                let old = self.remove(&mut state.writer, &id(&identity));
                let unreadable = News::Unreadable { identity, old };
                replaced.into_iter().chain([unreadable]).collect()
            }
            Step::Gone(identity) => {
                listing.seen = listing.seen.max(identity.version());
                self.forget(state, &id(&identity)).into_iter().collect()
            }
            Step::Complete => {
                let readable = self.all();
                let readable = readable.iter().map(|object| Identity::of(&**object));
                let here: Vec<Id> = readable
                    .filter(|identity| part.has_object(identity))
                    .map(|identity| id(&identity))
                    .chain(state.unreadable.keys().filter(|id| has(part, id)).cloned())
                    .collect();
                let gone = listing.relist.gone(here.iter());
                gone.iter()
                    .filter_map(|id| self.forget(state, id))
                    .collect()
            }
        }
    }

    /// Removes the object of this name, if one is known.
    fn forget(&self, state: &mut State<K>, id: &Id) -> Option<News<K>> {
        let unreadable = state.unreadable.remove(id);
        let old = self.remove(&mut state.writer, id);
        let known = old.as_deref().map(Identity::of);
        let identity = known.or(unreadable)?;
        Some(News::Deleted { identity, old })
    }

    /// Removes the object in whose place a list shows another of its name. A watch tells of the deletion
    /// before.
    fn replaced(&self, state: &mut State<K>, new: &Identity, of_list: bool) -> Option<News<K>> {
        let id = id(new);
        let known = self.stored(&id).as_deref().map(Identity::of);
        let known = known.or_else(|| state.unreadable.get(&id).cloned());
        let is_other = of_list && known.is_some_and(|known| known.uid != new.uid);
        is_other.then(|| self.forget(state, &id)).flatten()
    }

    fn put(&self, writer: &mut Writer<K>, object: K, of_list: bool) -> Option<News<K>> {
        let reference = ObjectRef::from_obj(&object);
        let old = self.reader.get(&reference);
        let is_known = old.as_ref().is_some_and(|old| {
            // After a restored backup, what a list says may have a lower version.
            let (old, new) = (version(&**old), version(&object));
            if of_list { old == new } else { old >= new }
        });
        if is_known {
            return None;
        }
        writer.apply_watcher_event(&watcher::Event::Apply(object));
        let new = self.reader.get(&reference);
        new.map(|new| News::Applied { new, old })
    }

    fn stored(&self, (namespace, name): &Id) -> Option<Arc<K>> {
        let reference = ObjectRef::new(name);
        self.reader.get(&match namespace {
            Some(namespace) => reference.within(namespace),
            None => reference,
        })
    }

    fn remove(&self, writer: &mut Writer<K>, id: &Id) -> Option<Arc<K>> {
        let old = self.stored(id)?;
        writer.apply_watcher_event(&watcher::Event::Delete(K::clone(&old)));
        Some(old)
    }

    /// To be taken before a write whose answer is to be recorded.
    pub fn ticket(&self) -> Ticket {
        Ticket {
            lists: self.state.lock().lists,
        }
    }

    /// Stores the answer of a write of ours, unless the watch has already told of it or of what
    /// came after; says whether it did.
    pub fn record(&self, ticket: Ticket, object: K) -> bool {
        let state = &mut *self.state.lock();
        let mut parts = state.parts.iter();
        let identity = Identity::of(&object);
        let listing = parts.find(|(part, _)| part.has_object(&identity));
        let is_newest = listing.is_some_and(|(_, listing)| {
            listing.epoch <= ticket.lists && identity.version() > listing.seen
        });
        if is_newest {
            state
                .writer
                .apply_watcher_event(&watcher::Event::Apply(object));
        }
        is_newest
    }

    /// Whether an object of this name is there and can't be read.
    pub fn is_unreadable(&self, namespace: Option<&str>, name: &str) -> bool {
        let state = self.state.lock();
        !state.unreadable.is_empty()
            && state
                .unreadable
                .contains_key(&(namespace.map(Into::into), name.into()))
    }

    /// All objects that are there and can't be read.
    pub fn unreadable(&self) -> Vec<Identity> {
        self.state.lock().unreadable.values().cloned().collect()
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

fn id(identity: &Identity) -> Id {
    (identity.namespace.clone(), identity.name.clone())
}

fn has(part: &Part, (namespace, name): &Id) -> bool {
    part.has(namespace.as_deref().unwrap_or(name))
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
    use crate::object::Stored;

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
        let objects = objects
            .iter()
            .cloned()
            .map(Stored::from)
            .map(Event::InitApply);
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
                News::Deleted { identity, old } => {
                    format!("-{} {} {}", identity.name, identity.uid, old.is_some())
                }
                News::Unreadable { identity, old } => {
                    format!("?{} {}", identity.name, old.is_some())
                }
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
                .apply(&Part::Whole, Event::Apply(object("a", 6).into()))
                .is_empty()
        );
        assert!(
            cache
                .apply(&Part::Whole, Event::Apply(object("a", 7).into()))
                .is_empty()
        );
        assert_eq!(stored(&cache, "a"), Some(7));
        assert_eq!(
            cache
                .apply(&Part::Whole, Event::Apply(object("a", 8).into()))
                .len(),
            1
        );
    }

    #[test]
    fn an_answer_that_comes_after_the_deletion_makes_no_ghost() {
        let cache = synced(&[object("a", 5)]);
        let ticket = cache.ticket();
        cache.apply(&Part::Whole, Event::Apply(object("a", 7).into()));
        cache.apply(&Part::Whole, Event::Delete(Identity::of(&object("a", 8))));
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
        cache.apply(&Part::Whole, Event::Apply(again.clone().into()));
        again.metadata.uid = Some("another".into());
        let listed = [
            object("same", 2),
            object("changed", 6),
            object("new", 7),
            again,
        ];
        let events = listed.map(Stored::from).map(Event::InitApply);
        let mut news = cache.apply(&Part::Whole, Event::Init);
        for event in events {
            news.extend(cache.apply(&Part::Whole, event));
        }
        let so_far = [
            "-again again true",
            "again false",
            "changed true",
            "new false",
        ];
        assert_eq!(told(&news), so_far);
        assert_eq!(stored(&cache, "gone"), Some(1));
        let gone = cache.apply(&Part::Whole, Event::InitDone);
        assert_eq!(told(&gone), ["-gone gone true"]);
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
            ["-one one true"]
        );
        assert_eq!(stored_in(&cache, "a", "one"), None);
        assert_eq!(stored_in(&cache, "b", "one"), Some(3));
        assert_eq!(told(&list(&cache, &b, &[])), ["-one one true"]);
        assert_eq!(stored_in(&cache, "a", "two"), Some(2));
    }

    #[test]
    fn what_the_watch_of_one_namespace_has_seen_says_nothing_about_another() {
        let (a, b) = (Part::Namespace("a".into()), Part::Namespace("b".into()));
        let cache = Cache::default();
        list(&cache, &a, &[object_in("a", "one", 1)]);
        list(&cache, &b, &[object_in("b", "one", 2)]);
        let ticket = cache.ticket();
        cache.apply(&a, Event::Apply(object_in("a", "one", 9).into()));
        cache.apply(&a, Event::Init);
        cache.record(ticket, object_in("b", "one", 5));
        assert_eq!(stored_in(&cache, "b", "one"), Some(5));
        cache.record(ticket, object_in("a", "one", 10));
        assert_eq!(stored_in(&cache, "a", "one"), Some(9), "a list began since");
        cache.record(cache.ticket(), object_in("elsewhere", "one", 11));
        assert_eq!(stored_in(&cache, "elsewhere", "one"), None);
    }

    fn unreadable(name: &str, version: u64) -> Stored<ConfigMap> {
        let json = r#"{"metadata": {"name": 1}}"#;
        let json = serde_json::from_str::<ConfigMap>(json)
            .unwrap_err()
            .to_string();
        Stored::unreadable(Identity::of(&object(name, version)), &json)
    }

    #[test]
    fn an_object_that_can_t_be_read_is_in_no_store_but_is_known_until_it_is_gone() {
        let cache = synced(&[object("a", 5), object("b", 6)]);
        let is_unreadable = |name| cache.is_unreadable(Some("ns"), name);
        let news = cache.apply(&Part::Whole, Event::Apply(unreadable("a", 7)));
        assert_eq!(told(&news), ["?a true"]);
        assert!(is_unreadable("a") && stored(&cache, "a").is_none());
        let readable = cache.apply(&Part::Whole, Event::Apply(object("a", 8).into()));
        assert_eq!(told(&readable), ["a false"]);
        assert!(!is_unreadable("a"));
        cache.apply(&Part::Whole, Event::Apply(unreadable("a", 9)));
        cache.apply(&Part::Whole, Event::Apply(unreadable("b", 10)));
        let deletion = Event::Delete(Identity::of(&object("b", 11)));
        let deleted = cache.apply(&Part::Whole, deletion);
        assert_eq!(told(&deleted), ["-b b false"]);
        assert!(is_unreadable("a") && !is_unreadable("b"));
        let gone = list(&cache, &Part::Whole, &[]);
        assert_eq!(told(&gone), ["-a a false"]);
        assert!(!is_unreadable("a"));
    }

    #[test]
    fn an_object_is_gone_when_a_list_shows_another_in_its_place_whether_either_can_be_read() {
        let with_uid = |mut object: ConfigMap, uid: &str| {
            object.metadata.uid = Some(uid.into());
            object
        };
        let first = || unreadable("a", 5);
        let mut second = unreadable("a", 6);
        second.identity.uid = "second".into();
        let third = with_uid(object("a", 7), "third");
        let cache = synced(&[with_uid(object("a", 4), "zeroth")]);
        let tell = |stored: Stored<ConfigMap>| {
            cache.apply(&Part::Whole, Event::Init);
            let mut news = cache.apply(&Part::Whole, Event::InitApply(stored));
            news.extend(cache.apply(&Part::Whole, Event::InitDone));
            told(&news)
        };
        assert_eq!(tell(first()), ["-a zeroth true", "?a false"]);
        assert_eq!(tell(first()), ["?a false"]);
        assert_eq!(tell(second), ["-a a false", "?a false"]);
        assert_eq!(tell(third.into()), ["-a second false", "a false"]);
    }

    #[test]
    fn after_the_cluster_was_set_back_a_list_of_lower_versions_counts_and_so_do_own_writes() {
        let cache = synced(&[object("a", 500)]);
        list(&cache, &Part::Whole, &[object("a", 100)]);
        cache.apply(&Part::Whole, Event::Apply(object("a", 101).into()));
        assert_eq!(stored(&cache, "a"), Some(101));
        cache.record(cache.ticket(), object("a", 102));
        assert_eq!(stored(&cache, "a"), Some(102));
    }
}
