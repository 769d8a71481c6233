//! Feeds the caches and queues what changed. Secrets of tenants are watched as metadata.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::reflector::{Lookup, ObjectRef};
use kube::runtime::watcher::Event;
use kube::{Api, ResourceExt as _};

use super::apikey::delivered::Delivered;
use super::cache::{Cache, News};
use super::context::Context;
use crate::api::{ApiKey, Organization, names};
use crate::watch::progress::Progress;
use crate::watch::roster::KeyRef;
use crate::watch::stored::Verifier;
use crate::watch::watched::Part;
use crate::watch::{Feed, decoded, pruned};

/// See [`Feed::new`]. Unit: seconds.
const WATCH_TIMEOUT_SECONDS: u32 = 240;

/// Starts all watches.
pub fn start(ctx: &Arc<Context>) -> Feed {
    let mut feed = Feed::new(&ctx.metrics, Progress::default(), WATCH_TIMEOUT_SECONDS);
    let client = &ctx.client.0;
    let whole = Part::Whole;
    let parts = ctx.watched.parts();
    for part in &parts {
        feed.follow(
            ("apikeys", part),
            part.api::<DeserializeGuard<ApiKey>>(client),
            |all| all,
            decoded,
            into(ctx, part, |ctx| &ctx.caches.apikeys, on_apikey),
        );
    }
    feed.follow(
        ("organizations", &whole),
        Api::<DeserializeGuard<Organization>>::all(client.clone()),
        |all| all,
        decoded,
        into(
            ctx,
            &whole,
            |ctx| &ctx.caches.organizations,
            on_organization,
        ),
    );
    for part in &parts {
        feed.follow(
            ("namespaces", part),
            Api::<PartialObjectMeta<Namespace>>::all(client.clone()),
            |all| part.only_itself(all),
            pruned,
            into(ctx, part, |ctx| &ctx.caches.namespaces, on_namespace),
        );
        feed.follow(
            ("delivered secrets", part),
            part.api::<PartialObjectMeta<Secret>>(client),
            |all| all.labels(&names::component_selector(names::COMPONENT_API_KEY)),
            |secret| Some(Delivered::read(secret.metadata)),
            into(ctx, part, |ctx| &ctx.caches.delivered, on_delivered),
        );
    }
    feed.follow(
        ("verifiers", &whole),
        Api::<Secret>::namespaced(client.clone(), &ctx.namespace),
        |all| all.labels(&names::component_selector(names::COMPONENT_VERIFIER)),
        |secret| Some(Verifier::read(secret)),
        into(ctx, &whole, |ctx| &ctx.caches.verifiers, on_verifier),
    );
    feed
}

/// Takes an event of the watch of a part into a cache, and handles what it changed.
fn into<K>(
    ctx: &Arc<Context>,
    part: &Part,
    cache: fn(&Context) -> &Cache<K>,
    handle: fn(&Context, News<K>),
) -> impl FnMut(Event<K>) + use<K>
where
    K: Lookup<DynamicType = ()> + Clone + 'static,
{
    let (ctx, part) = (Arc::clone(ctx), part.clone());
    move |event| {
        for news in cache(&ctx).apply(&part, event) {
            handle(&ctx, news);
        }
    }
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

fn on_delivered(ctx: &Context, news: News<Delivered>) {
    let (News::Applied { new: secret, .. } | News::Deleted(secret)) = news;
    if let Some(name) = secret.owner_name() {
        ctx.enqueue(&KeyRef::new(&secret.namespace, name));
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
pub fn failure_key<K: Lookup<DynamicType = ()>>(object: &K) -> String {
    let namespace = object.namespace().unwrap_or_default();
    let name = object.name().unwrap_or_default();
    format!("{}/{namespace}/{name}", K::kind(&()))
}
