//! A watch cache that also stores the responses to this process's own writes.
//!
//! After a write, a plain watch cache still holds the old object until the event arrives, and a
//! reconcile in between would repeat the work. This cache stores the response to a write at once
//! (KEP-5647 has the same aim). Resource versions of one kind are comparable (KEP-5504), and a
//! watch is ordered. Therefore a response is outdated exactly if the watch has passed its version.
//!
//! Objects of one kind may come from several watches, one per watched namespace. The state of one
//! watch scope (its version, whether a list is in progress) is independent of the others. A list
//! adds and changes objects at once. It removes objects only when it is complete, and only in its
//! own scope.
//!
//! An object that can't be read is not in the store, so that no reconcile acts on it. The cache
//! knows that it exists, and reports its deletion like any other.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::runtime::reflector::{Lookup, ObjectRef, Store, store::Writer};
use kube::runtime::watcher;
use parking_lot::Mutex;

use crate::watch::event::Event;
use crate::watch::relist::{Relist, Update};
use crate::watch::scope::WatchScope;
use apikey_client::object::Identity;

/// Objects of one kind.
#[derive(Debug)]
pub struct Cache<K: Lookup<DynamicType = ()> + Clone + 'static> {
    reader: Store<K>,
    state: Mutex<State<K>>,
}

#[derive(Debug)]
struct State<K: Lookup<DynamicType = ()> + Clone + 'static> {
    writer: Writer<K>,
    parts: BTreeMap<WatchScope, Listing>,
    /// Objects that exist and can't be read.
    unreadable: BTreeMap<Id, Identity>,
    /// Counts the beginnings and ends of lists.
    lists: u64,
}

/// Namespace and name.
type Id = (Option<Box<str>>, Box<str>);

/// Progress of the watch of one scope.
#[derive(Debug, Default)]
struct Listing {
    relist: Relist<Id>,
    /// Highest version that the watch has delivered.
    seen: u64,
    /// When a list last began or ended: versions from before and after can't be compared.
    epoch: u64,
}

/// Marks when a write began; see [`Cache::insert`].
#[derive(Clone, Copy, Debug)]
pub struct ListGeneration {
    lists: u64,
}

/// A change of the cache.
#[derive(Clone, Debug)]
pub enum Delta<K> {
    /// An object was added or changed.
    Applied {
        /// The object as it is now.
        new: Arc<K>,
        /// The previous state, if the cache had the object.
        old: Option<Arc<K>>,
    },
    /// An object was deleted, whether it could be read or not.
    Deleted {
        /// The deleted object.
        identity: Identity,
        /// The last state, if it could be read.
        old: Option<Arc<K>>,
    },
    /// An object exists and can't be read. It may have been readable before, or never.
    Unreadable {
        /// The object.
        identity: Identity,
        /// The last state that could be read, if the cache had one.
        old: Option<Arc<K>>,
    },
}

impl<K: Lookup<DynamicType = ()> + Clone + 'static> Default for Cache<K> {
    fn default() -> Self {
        let mut writer = Writer::new(());
        // kube's store expects one list. This cache has several, and its readers wait until all are
        // complete.
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
    /// Applies an event of the watch of this scope, and returns what it changed.
    pub fn apply(&self, scope: &WatchScope, event: Event<K>) -> Vec<Delta<K>> {
        let state = &mut *self.state.lock();
        let listing = state.parts.entry(scope.clone()).or_default();
        if matches!(event, Event::Init | Event::InitDone) {
            state.lists += 1;
            listing.epoch = state.lists;
        }
        if matches!(event, Event::Init) {
            // The cluster may have been restored to an older state.
            listing.seen = 0;
        }
        let of_list = matches!(event, Event::InitApply(_));
        match listing.relist.take(event, id) {
            Update::Nothing => Vec::new(),
            Update::Put(object) => {
                let identity = Identity::of(&object);
                listing.seen = listing.seen.max(identity.version());
                let replaced = self.replaced(state, &identity, of_list);
                state.unreadable.remove(&id(&identity));
                let put = self.put(&mut state.writer, object, of_list);
                replaced.into_iter().chain(put).collect()
            }
            Update::Unreadable(identity) => {
                listing.seen = listing.seen.max(identity.version());
                let replaced = self.replaced(state, &identity, of_list);
                state.unreadable.insert(id(&identity), identity.clone());
                let old = self.remove(&mut state.writer, &id(&identity));
                let unreadable = Delta::Unreadable { identity, old };
                replaced.into_iter().chain([unreadable]).collect()
            }
            Update::Gone(identity) => {
                listing.seen = listing.seen.max(identity.version());
                self.forget(state, &id(&identity)).into_iter().collect()
            }
            Update::Complete => {
                let readable = self.all();
                let readable = readable.iter().map(|object| Identity::of(&**object));
                let here: Vec<Id> = readable
                    .filter(|identity| scope.has_object(identity))
                    .map(|identity| id(&identity))
                    .chain(state.unreadable.keys().filter(|id| has(scope, id)).cloned())
                    .collect();
                let gone = listing.relist.gone(here.iter());
                gone.iter()
                    .filter_map(|id| self.forget(state, id))
                    .collect()
            }
        }
    }

    /// Removes the object of this name, if it is known.
    fn forget(&self, state: &mut State<K>, id: &Id) -> Option<Delta<K>> {
        let unreadable = state.unreadable.remove(id);
        let old = self.remove(&mut state.writer, id);
        let known = old.as_deref().map(Identity::of);
        let identity = known.or(unreadable)?;
        Some(Delta::Deleted { identity, old })
    }

    /// Removes an object if a list has another one of the same name. Without a list, the watch
    /// delivers the deletion first.
    fn replaced(&self, state: &mut State<K>, new: &Identity, of_list: bool) -> Option<Delta<K>> {
        let id = id(new);
        let known = self.stored(&id).as_deref().map(Identity::of);
        let known = known.or_else(|| state.unreadable.get(&id).cloned());
        let is_other = of_list && known.is_some_and(|known| known.uid != new.uid);
        is_other.then(|| self.forget(state, &id)).flatten()
    }

    fn put(&self, writer: &mut Writer<K>, object: K, of_list: bool) -> Option<Delta<K>> {
        let reference = ObjectRef::from_obj(&object);
        let old = self.reader.get(&reference);
        let is_known = old.as_ref().is_some_and(|old| {
            // After a restore from a backup, a listed object may have a lower version.
            let (old, new) = (version(&**old), version(&object));
            if of_list { old == new } else { old >= new }
        });
        if is_known {
            return None;
        }
        writer.apply_watcher_event(&watcher::Event::Apply(object));
        let new = self.reader.get(&reference);
        new.map(|new| Delta::Applied { new, old })
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

    /// Returns a marker, to be taken before a write whose response will be recorded.
    pub fn generation(&self) -> ListGeneration {
        ListGeneration {
            lists: self.state.lock().lists,
        }
    }

    /// Stores the response to a write, unless the watch has already delivered this version or a
    /// later one. Returns whether it stored the response.
    pub fn insert(&self, generation: ListGeneration, object: K) -> bool {
        let state = &mut *self.state.lock();
        let mut parts = state.parts.iter();
        let identity = Identity::of(&object);
        let listing = parts.find(|(scope, _)| scope.has_object(&identity));
        let is_newest = listing.is_some_and(|(_, listing)| {
            listing.epoch <= generation.lists && identity.version() > listing.seen
        });
        if is_newest {
            state
                .writer
                .apply_watcher_event(&watcher::Event::Apply(object));
        }
        is_newest
    }

    /// Whether an object of this name exists and can't be read.
    pub fn is_unreadable(&self, namespace: Option<&str>, name: &str) -> bool {
        let state = self.state.lock();
        !state.unreadable.is_empty()
            && state
                .unreadable
                .contains_key(&(namespace.map(Into::into), name.into()))
    }

    /// All objects that exist and can't be read.
    pub fn unreadable(&self) -> Vec<Identity> {
        self.state.lock().unreadable.values().cloned().collect()
    }

    /// The object, if the cache has it.
    pub fn get(&self, reference: &ObjectRef<K>) -> Option<Arc<K>> {
        self.reader.get(reference)
    }

    /// All objects.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.reader.state()
    }
}

fn id(identity: &Identity) -> Id {
    (identity.namespace.clone(), identity.name.clone())
}

fn has(scope: &WatchScope, (namespace, name): &Id) -> bool {
    scope.has(namespace.as_deref().unwrap_or(name))
}

/// Resource version as a number; 0 if it is missing.
fn version<K: Lookup>(object: &K) -> u64 {
    let version = object.resource_version();
    version.and_then(|v| v.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
