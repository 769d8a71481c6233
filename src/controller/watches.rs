//! Feeds changes into the caches and queues. Secrets of tenants are watched as metadata only.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ObjectReference, Secret};
use kube::ResourceExt as _;

use super::cache::{Cache, Delta};
use super::delivered::Delivered;
use super::events::{Events, Severity, Transition};
use super::failures::object_key;
use super::memory::LeadershipMemory;
use super::queues::Queues;
use super::relations::Declared;
use super::store::{Caches, Store};
use crate::process::Process;
use crate::watch::cache_sync::CacheSync;
use crate::watch::event::Event;
use crate::watch::scope::{WatchScope, WatchedNamespaces};
use crate::watch::source::Source;
use crate::watch::stored::StoredRecord;
use crate::watch::{Keep, WatchSet};
use apikey_api::KeyRef;
use apikey_api::conditions::reason;
use apikey_api::{ApiKey, Organization, names};
use apikey_client::object::{Identity, NamespaceLabels};
use apikey_policy::quota_index::QuotaIndex;

/// See [`WatchSet::new`]. Unit: seconds.
const WATCH_TIMEOUT_SECONDS: u32 = 240;

/// Starts all watches.
pub(crate) fn start(
    handlers: &Arc<WatchHandlers>,
    process: &Process,
    namespace: &str,
    namespaces: &WatchedNamespaces,
    cache_sync: CacheSync,
) -> WatchSet {
    let mut watches = WatchSet::new(process.watch_context(), cache_sync, WATCH_TIMEOUT_SECONDS);
    let whole = WatchScope::Everything;
    let scopes = namespaces.scopes();
    for scope in &scopes {
        watches.follow(
            ("apikeys", scope),
            scope.source::<ApiKey>(),
            handlers.handler(scope, |caches| &caches.apikeys, WatchHandlers::on_apikey),
        );
    }
    watches.follow(
        ("organizations", &whole),
        Source::of::<Organization>(None),
        handlers.handler(
            &whole,
            |caches| &caches.organizations,
            WatchHandlers::on_organization,
        ),
    );
    for scope in &scopes {
        watches.follow(
            ("namespaces", scope),
            scope.namespaces(),
            handlers.handler(
                scope,
                |caches| &caches.namespaces,
                WatchHandlers::on_namespace,
            ),
        );
        let delivered = scope.source::<Secret>().metadata();
        watches.follow(
            ("delivered secrets", scope),
            delivered.labels(names::component_selector(names::COMPONENT_API_KEY)),
            handlers.handler(
                scope,
                |caches| &caches.delivered,
                WatchHandlers::on_delivered,
            ),
        );
    }
    watches.follow(
        ("credential records", &whole),
        Source::of::<Secret>(Some(namespace))
            .labels(names::component_selector(names::COMPONENT_VERIFIER)),
        handlers.handler(&whole, |caches| &caches.records, WatchHandlers::on_record),
    );
    watches
}

/// Applies watch events to the store, and enqueues what they affect.
#[derive(Debug)]
pub(crate) struct WatchHandlers {
    /// Gets the objects.
    pub(crate) store: Arc<Store>,
    /// Gets the objects that a change affects.
    pub(crate) queues: Arc<Queues>,
    /// Forgets what is deleted.
    pub(crate) memory: LeadershipMemory,
    /// Publishes which objects can't be read.
    pub(crate) events: Events,
}

impl WatchHandlers {
    /// Returns what applies the events of the watch of this scope to a cache. `handle` handles the
    /// changes and returns the keys that they affect.
    fn handler<K>(
        self: &Arc<Self>,
        scope: &WatchScope,
        cache: fn(&Caches) -> &Cache<K>,
        handle: fn(&Self, &mut QuotaIndex, Delta<K>) -> Vec<KeyRef>,
    ) -> impl FnMut(Event<K>) + use<K>
    where
        K: Keep + Clone + 'static,
    {
        let (handlers, scope) = (Arc::clone(self), scope.clone());
        move |event| {
            let store = &handlers.store;
            // Hold the lock around all: a reader that sees an object in a cache and then locks the
            // quota index finds it there.
            let mut quota_index = store.quota_index.lock();
            let deltas = cache(&store.caches).apply(&scope, event).into_iter();
            let affected: Vec<_> = deltas
                .flat_map(|delta| handle(&handlers, &mut quota_index, delta))
                .collect();
            for key in &affected {
                handlers.queues.enqueue_apikey(&quota_index, key);
            }
        }
    }

    fn on_apikey(&self, quota_index: &mut QuotaIndex, delta: Delta<ApiKey>) -> Vec<KeyRef> {
        let (counted, changed) = match delta {
            Delta::Applied { new, .. } => {
                let mut changed = quota_index.upsert(&new);
                changed.push(KeyRef::of(&new));
                (Some(new), changed)
            }
            Delta::Deleted { identity, old } => {
                let key = KeyRef::from(&identity);
                self.memory.forget_apikey(&identity);
                self.queues.enqueue_record_of(&identity);
                (old, quota_index.remove(&key))
            }
            Delta::Unreadable { identity, old } => {
                self.warn_of::<ApiKey>(&identity);
                let key = KeyRef::from(&identity);
                (old, quota_index.remove(&key))
            }
        };
        // An object that could not be read was not counted.
        if let Some(counted) = counted {
            self.queues.recount.add(&counted.spec.org);
        }
        changed
    }

    fn on_organization(
        &self,
        quota_index: &mut QuotaIndex,
        delta: Delta<Organization>,
    ) -> Vec<KeyRef> {
        let (name, declared, absent) = match delta {
            Delta::Applied { new, old } => {
                let name = new.name_any();
                if old.is_some_and(|old| old.metadata.generation == new.metadata.generation) {
                    self.queues.enqueue_organization(&name);
                    return Vec::new();
                }
                (name, Some(new), Declared::Missing)
            }
            Delta::Deleted { identity, .. } => {
                self.memory.failures.clear(&object_key::<Organization>(
                    identity.namespace.as_deref(),
                    &identity.name,
                ));
                (identity.name.into(), None, Declared::Missing)
            }
            Delta::Unreadable { identity, .. } => {
                self.warn_of::<Organization>(&identity);
                (identity.name.into(), None, Declared::Unreadable)
            }
        };
        let known = declared.as_deref().map_or(absent, Declared::Readable);
        let others = self.store.relations.lock().declare(&name, known);
        self.queues.enqueue_organization(&name);
        for other in &others {
            self.queues.enqueue_organization(other);
        }
        quota_index.declare(&name, declared)
    }

    fn on_namespace(
        &self,
        quota_index: &mut QuotaIndex,
        delta: Delta<NamespaceLabels>,
    ) -> Vec<KeyRef> {
        let (name, labels) = match delta {
            Delta::Applied { new, old } => {
                if old.is_some_and(|old| old.labels == new.labels) {
                    return Vec::new();
                }
                (new.name.clone(), Some(Arc::clone(&new.labels)))
            }
            Delta::Deleted { identity, .. } => (identity.name, None),
            Delta::Unreadable { identity, .. } => {
                self.warn_of::<NamespaceLabels>(&identity);
                (identity.name, None)
            }
        };
        quota_index.label(&name, labels)
    }

    fn on_delivered(&self, _: &mut QuotaIndex, delta: Delta<Delivered>) -> Vec<KeyRef> {
        let secrets = match delta {
            Delta::Applied { new, old } => [Some(new), old],
            Delta::Deleted { old, .. } => [None, old],
            Delta::Unreadable { identity, old } => {
                self.warn_of::<Delivered>(&identity);
                [None, old]
            }
        };
        let mut keys = Vec::new();
        for secret in secrets.into_iter().flatten() {
            // The key that owns the Secret, and the key of the same name, because somebody may have
            // taken the Secret from that key.
            for name in secret.owner_name().into_iter().chain([&*secret.name]) {
                keys.push(KeyRef::new(&secret.namespace, name));
            }
        }
        keys
    }

    fn on_record(&self, _: &mut QuotaIndex, delta: Delta<StoredRecord>) -> Vec<KeyRef> {
        let (record, is_there) = match delta {
            Delta::Applied { new, .. } => (Some(new), true),
            Delta::Deleted { identity, old } => {
                self.memory.failures.clear(&object_key::<StoredRecord>(
                    identity.namespace.as_deref(),
                    &identity.name,
                ));
                (old, false)
            }
            Delta::Unreadable { identity, old } => {
                self.warn_of::<StoredRecord>(&identity);
                (old, false)
            }
        };
        let Some(record) = record else {
            return Vec::new();
        };
        if is_there {
            self.queues.enqueue_record(&record);
        }
        let owner = record.owner.as_ref();
        owner
            .map(|owner| KeyRef::new(&owner.namespace, &owner.name))
            .into_iter()
            .collect()
    }

    /// Warns of all objects that can't be read, because a controller that begins to lead has not done
    /// so yet.
    pub(crate) fn warn_of_unreadable(&self) {
        let caches = &self.store.caches;
        self.warn_of_all(&caches.apikeys);
        self.warn_of_all(&caches.organizations);
        self.warn_of_all(&caches.namespaces);
        self.warn_of_all(&caches.delivered);
        self.warn_of_all(&caches.records);
    }

    fn warn_of_all<K: Keep + Clone>(&self, cache: &Cache<K>) {
        for identity in cache.unreadable() {
            self.warn_of::<K>(&identity);
        }
    }

    /// Publishes an Event about an object that can't be read, if this controller leads.
    fn warn_of<K: Keep>(&self, identity: &Identity) {
        if !self.queues.apikeys.is_open() {
            return;
        }
        let regarding = ObjectReference {
            api_version: Some(K::api_version(&()).into_owned()),
            kind: Some(K::kind(&()).into_owned()),
            namespace: identity.namespace.as_deref().map(ToOwned::to_owned),
            name: Some(identity.name.to_string()),
            uid: Some(identity.uid.to_string()),
            ..ObjectReference::default()
        };
        let message = "The operator can't read this object, so it refuses what depends on it: apply it \
                       again, or upgrade the operator; its log says which part it is";
        let transition = Transition::new(Severity::Warning, reason::UNREADABLE, message);
        self.events.publish(regarding, transition);
    }
}

#[cfg(test)]
mod tests;
