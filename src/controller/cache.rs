//! A watched store that also takes in our own writes.
//!
//! After a write, a plain watch cache still holds the old object until the event comes back, and a
//! reconcile in between would do the work again. Here the answer of a write is stored at once
//! (KEP-5647 has the same aim). Resource versions of one kind are comparable (KEP-5504), and a watch
//! is ordered, so an answer is older news exactly if the watch has passed its version.
//!
//! Objects of one kind may come by several watches, one for each namespace that is watched. What is
//! known of a part (its version, whether a list is under way) says nothing about the others. A list
//! adds and changes at once, and removes when it is complete, and only in its own scope.
//!
//! An object that can't be read is in no store, so nothing is done about it. That it is there is known, and
//! its deletion is news like any other.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::runtime::reflector::{Lookup, ObjectRef, Store, store::Writer};
use kube::runtime::watcher;
use parking_lot::Mutex;

use crate::watch::event::Event;
use crate::watch::relist::{Relist, Step};
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
pub struct ListGeneration {
    lists: u64,
}

/// What an event changed.
#[derive(Clone, Debug)]
pub enum Delta<K> {
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
    pub fn apply(&self, scope: &WatchScope, event: Event<K>) -> Vec<Delta<K>> {
        let state = &mut *self.state.lock();
        let listing = state.parts.entry(scope.clone()).or_default();
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
                let unreadable = Delta::Unreadable { identity, old };
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

    /// Removes the object of this name, if one is known.
    fn forget(&self, state: &mut State<K>, id: &Id) -> Option<Delta<K>> {
        let unreadable = state.unreadable.remove(id);
        let old = self.remove(&mut state.writer, id);
        let known = old.as_deref().map(Identity::of);
        let identity = known.or(unreadable)?;
        Some(Delta::Deleted { identity, old })
    }

    /// Removes the object in whose place a list shows another of its name. A watch tells of the deletion
    /// before.
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
            // After a restored backup, what a list says may have a lower version.
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

    /// To be taken before a write whose answer is to be recorded.
    pub fn generation(&self) -> ListGeneration {
        ListGeneration {
            lists: self.state.lock().lists,
        }
    }

    /// Stores the answer of a write of ours, unless the watch has already told of it or of what
    /// came after; says whether it did.
    pub fn record(&self, generation: ListGeneration, object: K) -> bool {
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
