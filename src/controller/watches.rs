//! Feeds the caches and queues what changed.
//!
//! Streams are pruned before anything is stored: `managedFields` and the last applied configuration
//! are most of an object and nobody here needs them. Secrets of tenants are watched as metadata.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use super::apikey::delivered;
use super::cache::{Cache, News};
use super::context::Context;
use super::roster::KeyRef;
use super::stored::Verifier;
use crate::api::{ApiKey, Organization, names};

/// A watch that hears nothing for this long is opened anew, so that a dead connection is noticed.
/// Unit: seconds.
const WATCH_TIMEOUT_SECONDS: u32 = 240;
/// Objects in one answer of a list. A small page keeps the peak of memory at start low.
const PAGE_SIZE: u32 = 100;
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

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

/// Drops what nobody here needs of the metadata of a delivered Secret: a map takes half a KiB.
pub fn prune_delivered(metadata: &mut ObjectMeta) {
    prune(metadata);
    metadata.labels = None;
    if let Some(annotations) = &mut metadata.annotations {
        let needed = [names::ANNOTATION_VERIFIER, names::ANNOTATION_TEMPLATE];
        annotations.retain(|key, _| needed.contains(&key.as_str()));
    }
}

/// Starts all watches. They end with the set.
pub fn start(ctx: &Arc<Context>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let client = ctx.client.0.clone();

    let apikeys = Api::<DeserializeGuard<ApiKey>>::all(client.clone());
    spawn(
        &mut tasks,
        ctx,
        apikeys,
        any(),
        decoded,
        |c| &c.caches.apikeys,
        on_apikey,
    );

    let organizations = Api::<DeserializeGuard<Organization>>::all(client.clone());
    spawn(
        &mut tasks,
        ctx,
        organizations,
        any(),
        decoded,
        |c| &c.caches.organizations,
        on_organization,
    );

    let namespaces = Api::<PartialObjectMeta<Namespace>>::all(client.clone());
    spawn(
        &mut tasks,
        ctx,
        namespaces,
        any(),
        Some,
        |c| &c.caches.namespaces,
        on_namespace,
    );

    let delivered = Api::<PartialObjectMeta<Secret>>::all(client.clone());
    let ours = any().labels(&names::component_selector(names::COMPONENT_API_KEY));
    let read = |mut secret: PartialObjectMeta<Secret>| {
        prune_delivered(&mut secret.metadata);
        Some(secret)
    };
    spawn(
        &mut tasks,
        ctx,
        delivered,
        ours,
        read,
        |c| &c.caches.delivered,
        on_delivered,
    );

    let verifiers = Api::<Secret>::namespaced(client, &ctx.namespace);
    let ours = any().labels(&names::component_selector(names::COMPONENT_VERIFIER));
    let read = |secret| Some(Verifier::read(secret));
    spawn(
        &mut tasks,
        ctx,
        verifiers,
        ours,
        read,
        |c| &c.caches.verifiers,
        on_verifier,
    );
    tasks
}

fn any() -> watcher::Config {
    watcher::Config::default()
        .timeout(WATCH_TIMEOUT_SECONDS)
        .page_size(PAGE_SIZE)
}

/// An object of ours, if this program understands it. One that it does not (stored by a newer
/// version) must not stop the watch.
fn decoded<K: Resource<DynamicType = ()>>(guarded: DeserializeGuard<K>) -> Option<K> {
    match guarded.0 {
        Ok(object) => Some(object),
        Err(invalid) => {
            let (namespace, name) = (invalid.metadata.namespace, invalid.metadata.name);
            let kind = K::kind(&());
            tracing::warn!(%kind, namespace, name, error = %invalid.error,
                "Ignoring an object that this version does not understand");
            None
        }
    }
}

fn spawn<W, K>(
    tasks: &mut JoinSet<()>,
    ctx: &Arc<Context>,
    api: Api<W>,
    config: watcher::Config,
    read: impl Fn(W) -> Option<K> + Send + 'static,
    cache: fn(&Context) -> &Cache<K>,
    handle: fn(&Context, News<K>),
) where
    W: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    let ctx = Arc::clone(ctx);
    let kind = K::kind(&()).into_owned();
    tasks.spawn(async move {
        let mut events = watcher(api, config).default_backoff().boxed();
        loop {
            match events.try_next().await {
                Ok(Some(event)) => {
                    let Some(event) = convert(event, &read) else {
                        continue;
                    };
                    cache(&ctx)
                        .apply(event)
                        .into_iter()
                        .for_each(|news| handle(&ctx, news));
                }
                Ok(None) => return,
                Err(error) => {
                    ctx.metrics.watch_failed(&kind);
                    tracing::warn!(kind, %error, "A watch failed; it is opened anew");
                }
            }
        }
    });
}

fn convert<W, K: Resource>(event: Event<W>, read: impl Fn(W) -> Option<K>) -> Option<Event<K>> {
    let read = |object| {
        let mut object = read(object)?;
        prune(object.meta_mut());
        Some(object)
    };
    Some(match event {
        Event::Apply(object) => Event::Apply(read(object)?),
        Event::Delete(object) => Event::Delete(read(object)?),
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(read(object)?),
        Event::InitDone => Event::InitDone,
    })
}

fn on_apikey(ctx: &Context, news: News<ApiKey>) {
    let (apikey, changed) = match news {
        News::Applied { new, .. } => {
            ctx.enqueue(&KeyRef::of(&new));
            let changed = ctx.roster.lock().upsert(&new);
            (new, changed)
        }
        News::Deleted(old) => {
            let key = KeyRef::of(&old);
            ctx.failures.clear(&failure_key(&*old));
            ctx.replacements.lock().remove(&key);
            let uid = old.metadata.uid.as_deref().unwrap_or_default();
            let verifier = ObjectRef::new(&names::verifier_secret(uid)).within(&ctx.namespace);
            ctx.queues.verifiers.push(verifier);
            let changed = ctx.roster.lock().remove(&key);
            (old, changed)
        }
    };
    for key in &changed {
        ctx.enqueue(key);
    }
    ctx.recount.lock().insert(apikey.spec.org.clone());
}

fn on_organization(ctx: &Context, news: News<Organization>) {
    let (name, declared) = match news {
        News::Applied { new, old } => {
            ctx.queues.organizations.push(ObjectRef::from_obj(&*new));
            if old.is_some_and(|old| old.metadata.generation == new.metadata.generation) {
                return;
            }
            (new.name_any(), Some(new))
        }
        News::Deleted(old) => {
            ctx.failures.clear(&failure_key(&*old));
            (old.name_any(), None)
        }
    };
    let concerned = ctx.roster.lock().declare(&name, declared);
    for key in &concerned {
        ctx.enqueue(key);
    }
    // Sub-organizations look at their parent, and two with one id at each other.
    for other in ctx.caches.organizations.all() {
        ctx.queues.organizations.push(ObjectRef::from_obj(&*other));
    }
}

fn on_namespace(ctx: &Context, news: News<PartialObjectMeta<Namespace>>) {
    let (name, labels) = match news {
        News::Applied { new, old } => {
            if old.is_some_and(|old| old.metadata.labels == new.metadata.labels) {
                return;
            }
            (
                new.name_any(),
                Some(new.metadata.labels.clone().unwrap_or_default()),
            )
        }
        News::Deleted(old) => (old.name_any(), None),
    };
    let concerned = ctx.roster.lock().label(&name, labels);
    for key in &concerned {
        ctx.enqueue(key);
    }
}

fn on_delivered(ctx: &Context, news: News<PartialObjectMeta<Secret>>) {
    let (News::Applied { new: secret, .. } | News::Deleted(secret)) = news;
    if let Some(name) = delivered::owner_name(&secret) {
        ctx.enqueue(&KeyRef::new(&secret.namespace().unwrap_or_default(), name));
    }
}

fn on_verifier(ctx: &Context, news: News<Verifier>) {
    let (verifier, is_there) = match news {
        News::Applied { new, .. } => (new, true),
        News::Deleted(old) => {
            ctx.failures.clear(&failure_key(&*old));
            (old, false)
        }
    };
    if let Some(owner) = &verifier.owner {
        ctx.enqueue(&KeyRef::new(&owner.namespace, &owner.name));
    }
    if is_there {
        ctx.queues.verifiers.push(ObjectRef::from_obj(&*verifier));
    }
}

/// Name of an object in [`super::context::Failures`].
pub fn failure_key<K: Resource<DynamicType = ()>>(object: &K) -> String {
    let namespace = object.namespace().unwrap_or_default();
    format!("{}/{namespace}/{}", K::kind(&()), object.name_any())
}
