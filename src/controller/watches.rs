//! Feeds changes into the caches and queues. Secrets of tenants are watched as metadata only.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ObjectReference, Secret};
use kube::ResourceExt as _;

use super::apikey::delivered::Delivered;
use super::cache::{Cache, Delta};
use super::context::Context;
use super::events::{Severity, Transition};
use super::failures::object_key;
use super::relations::Declared;
use crate::process::Process;
use crate::watch::cache_sync::CacheSync;
use crate::watch::event::Event;
use crate::watch::scope::WatchScope;
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
pub fn start(ctx: &Arc<Context>, process: &Process, cache_sync: CacheSync) -> WatchSet {
    let mut watches = WatchSet::new(process.watch_context(), cache_sync, WATCH_TIMEOUT_SECONDS);
    let whole = WatchScope::Everything;
    let scopes = ctx.watched.scopes();
    for scope in &scopes {
        watches.follow(
            ("apikeys", scope),
            scope.source::<ApiKey>(),
            into(ctx, scope, |ctx| &ctx.caches.apikeys, on_apikey),
        );
    }
    watches.follow(
        ("organizations", &whole),
        Source::of::<Organization>(None),
        into(
            ctx,
            &whole,
            |ctx| &ctx.caches.organizations,
            on_organization,
        ),
    );
    for scope in &scopes {
        watches.follow(
            ("namespaces", scope),
            scope.namespaces(),
            into(ctx, scope, |ctx| &ctx.caches.namespaces, on_namespace),
        );
        let delivered = scope.source::<Secret>().metadata();
        watches.follow(
            ("delivered secrets", scope),
            delivered.labels(names::component_selector(names::COMPONENT_API_KEY)),
            into(ctx, scope, |ctx| &ctx.caches.delivered, on_delivered),
        );
    }
    watches.follow(
        ("verifiers", &whole),
        Source::of::<Secret>(Some(&ctx.namespace))
            .labels(names::component_selector(names::COMPONENT_VERIFIER)),
        into(ctx, &whole, |ctx| &ctx.caches.records, on_record),
    );
    watches
}

/// Applies an event of the watch of this scope to a cache and handles the changes; `handle` returns
/// the keys that they affect.
fn into<K>(
    ctx: &Arc<Context>,
    scope: &WatchScope,
    cache: fn(&Context) -> &Cache<K>,
    handle: fn(&Context, &mut QuotaIndex, Delta<K>) -> Vec<KeyRef>,
) -> impl FnMut(Event<K>) + use<K>
where
    K: Keep + Clone + 'static,
{
    let (ctx, scope) = (Arc::clone(ctx), scope.clone());
    move |event| {
        let concerned: Vec<_> = {
            // Hold the lock around both: a reader that sees an object in a cache and then locks the
            // quota index finds it there.
            let mut quota_index = ctx.quota_index.lock();
            let deltas = cache(&ctx).apply(&scope, event).into_iter();
            deltas
                .flat_map(|delta| handle(&ctx, &mut quota_index, delta))
                .collect()
        };
        for key in &concerned {
            ctx.enqueue(key);
        }
    }
}

fn on_apikey(ctx: &Context, quota_index: &mut QuotaIndex, delta: Delta<ApiKey>) -> Vec<KeyRef> {
    let (counted, changed) = match delta {
        Delta::Applied { new, .. } => {
            let mut changed = quota_index.upsert(&new);
            changed.push(KeyRef::of(&new));
            (Some(new), changed)
        }
        Delta::Deleted { identity, old } => {
            let key = KeyRef::from(&identity);
            ctx.forget_apikey(&identity);
            ctx.enqueue_record_of(&identity);
            (old, quota_index.remove(&key))
        }
        Delta::Unreadable { identity, old } => {
            warn_of::<ApiKey>(ctx, &identity);
            let key = KeyRef::from(&identity);
            (old, quota_index.remove(&key))
        }
    };
    // An object that could not be read was not counted.
    if let Some(counted) = counted {
        ctx.recount.add(&counted.spec.org);
    }
    changed
}

fn on_organization(
    ctx: &Context,
    quota_index: &mut QuotaIndex,
    delta: Delta<Organization>,
) -> Vec<KeyRef> {
    let (name, declared, absent) = match delta {
        Delta::Applied { new, old } => {
            let name = new.name_any();
            if old.is_some_and(|old| old.metadata.generation == new.metadata.generation) {
                ctx.enqueue_organization(&name);
                return Vec::new();
            }
            (name, Some(new), Declared::Missing)
        }
        Delta::Deleted { identity, .. } => {
            ctx.failures.clear(&object_key::<Organization>(
                identity.namespace.as_deref(),
                &identity.name,
            ));
            (identity.name.into(), None, Declared::Missing)
        }
        Delta::Unreadable { identity, .. } => {
            warn_of::<Organization>(ctx, &identity);
            (identity.name.into(), None, Declared::Unreadable)
        }
    };
    let known = declared.as_deref().map_or(absent, Declared::Readable);
    let others = ctx.relations.lock().declare(&name, known);
    ctx.enqueue_organization(&name);
    for other in &others {
        ctx.enqueue_organization(other);
    }
    quota_index.declare(&name, declared)
}

fn on_namespace(
    ctx: &Context,
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
            warn_of::<NamespaceLabels>(ctx, &identity);
            (identity.name, None)
        }
    };
    quota_index.label(&name, labels)
}

fn on_delivered(ctx: &Context, _: &mut QuotaIndex, delta: Delta<Delivered>) -> Vec<KeyRef> {
    let secrets = match delta {
        Delta::Applied { new, old } => [Some(new), old],
        Delta::Deleted { old, .. } => [None, old],
        Delta::Unreadable { identity, old } => {
            warn_of::<Delivered>(ctx, &identity);
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

fn on_record(ctx: &Context, _: &mut QuotaIndex, delta: Delta<StoredRecord>) -> Vec<KeyRef> {
    let (record, is_there) = match delta {
        Delta::Applied { new, .. } => (Some(new), true),
        Delta::Deleted { identity, old } => {
            ctx.failures.clear(&object_key::<StoredRecord>(
                identity.namespace.as_deref(),
                &identity.name,
            ));
            (old, false)
        }
        Delta::Unreadable { identity, old } => {
            warn_of::<StoredRecord>(ctx, &identity);
            (old, false)
        }
    };
    let Some(record) = record else {
        return Vec::new();
    };
    if is_there {
        ctx.enqueue_record(&record);
    }
    let owner = record.owner.as_ref();
    owner
        .map(|owner| KeyRef::new(&owner.namespace, &owner.name))
        .into_iter()
        .collect()
}

/// Warns of all objects that can't be read, because a controller that begins to lead has not done
/// so yet.
pub fn warn_of_unreadable(ctx: &Context) {
    fn warn<K: Keep + Clone>(ctx: &Context, cache: &Cache<K>) {
        for identity in cache.unreadable() {
            warn_of::<K>(ctx, &identity);
        }
    }
    warn(ctx, &ctx.caches.apikeys);
    warn(ctx, &ctx.caches.organizations);
    warn(ctx, &ctx.caches.namespaces);
    warn(ctx, &ctx.caches.delivered);
    warn(ctx, &ctx.caches.records);
}

/// Publishes an Event about an object that can't be read, if this controller leads.
fn warn_of<K: Keep>(ctx: &Context, identity: &Identity) {
    if !ctx.queues.apikeys.is_open() {
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
    ctx.events.publish(regarding, transition);
}

#[cfg(test)]
mod tests;
