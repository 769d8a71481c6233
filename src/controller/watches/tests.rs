use std::sync::Barrier;
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::controller::apikey::reported::Reported;
use crate::controller::testing::context;
use crate::controller::workers::{Controller, Next};
use apikey_api::{ApiKeySpec, OrganizationLimits, OrganizationSpec};
use apikey_client::error::{Class, Error};

/// Number of keys that are created and deleted.
const MANY: u64 = 500;

fn apikey(n: u64) -> ApiKey {
    let spec = ApiKeySpec {
        org: "acme".into(),
        ..ApiKeySpec::default()
    };
    let mut key = ApiKey::new(&format!("key-{n}"), spec);
    key.metadata.namespace = Some("team".into());
    key.metadata.uid = Some(format!("uid-of-key-{n}"));
    key.metadata.resource_version = Some((n + 1).to_string());
    key
}

fn apikeys(ctx: &Arc<Context>) -> impl FnMut(Event<ApiKey>) + use<> {
    into(
        ctx,
        &WatchScope::Everything,
        |ctx| &ctx.caches.apikeys,
        on_apikey,
    )
}

/// Makes `acme` allow no keys.
fn declare_full(ctx: &Arc<Context>) {
    let limits = OrganizationLimits {
        max_keys: Some(0),
        ..OrganizationLimits::default()
    };
    let spec = OrganizationSpec {
        limits: Some(limits),
        ..OrganizationSpec::default()
    };
    let mut acme = Organization::new("acme", spec);
    acme.spec.allowed_namespaces.from = apikey_api::FromNamespaces::All;
    let mut organizations = into(
        ctx,
        &WatchScope::Everything,
        |ctx| &ctx.caches.organizations,
        on_organization,
    );
    organizations(Event::Apply(acme.into()));
}

/// Everything that is remembered of keys, except the keys themselves.
fn remembered(ctx: &Context) -> String {
    format!(
        "{:?}",
        (
            &ctx.quota_index,
            &ctx.queues,
            &ctx.recount,
            &ctx.failures,
            &ctx.replacements,
            &ctx.reports,
        )
    )
}

fn remember(ctx: &Context, apikey: &ApiKey) {
    let uid = apikey.metadata.uid.as_deref().unwrap();
    ctx.reports
        .set(uid, Reported::default(), || ctx.knows(apikey));
    ctx.replacements.set(uid, Vec::new(), || ctx.knows(apikey));
}

/// A reconcile that fails late: the watch delivered the deletion of its key while it ran.
async fn too_late(apikey: Arc<ApiKey>, ctx: Arc<Context>) -> Result<Next, Error> {
    remember(&ctx, &apikey);
    let uid = apikey.metadata.uid.as_deref().unwrap();
    assert!(ctx.reports.of(uid).is_some() && ctx.replacements.of(uid).is_some());
    apikeys(&ctx)(Event::Delete(Identity::of(&*apikey)));
    remember(&ctx, &apikey);
    Err(Error::internal("reconcile", &std::fmt::Error))
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_many_keys_that_were_deleted_while_they_were_reconciled() {
    let ctx = context();
    let keys = Controller {
        name: "apikey",
        workers: 4,
        queue: |queues| &queues.apikeys,
        cache: |ctx| &ctx.caches.apikeys,
        enqueue: |ctx, apikey| ctx.enqueue(&KeyRef::of(apikey)),
        reconcile: too_late,
    };
    keys.open(&ctx);
    ctx.recount.open();
    for n in 0..MANY {
        apikeys(&ctx)(Event::Apply(apikey(n).into()));
    }
    let close = async {
        let mut look = tokio::time::interval(Duration::from_mins(1));
        while remembered(&ctx).contains("key-") {
            look.tick().await;
        }
        ctx.queues.close();
    };
    let within = Duration::from_hours(1);
    let ran = async { tokio::join!(keys.run(&ctx), close) };
    let ended = tokio::time::timeout(within, ran).await;
    assert!(ended.is_ok(), "{}", remembered(&ctx));
    crate::controller::organization::flush(&ctx);
    assert!(!remembered(&ctx).contains("acme"), "{}", remembered(&ctx));
}

#[tokio::test]
async fn who_stands_by_or_leads_no_longer_remembers_no_key_but_what_the_watches_show() {
    let ctx = context();
    let come_and_go = || {
        for n in 0..MANY {
            apikeys(&ctx)(Event::Apply(apikey(n).into()));
        }
        for n in 0..MANY {
            apikeys(&ctx)(Event::Delete(Identity::of(&apikey(n))));
        }
    };
    let all = || format!("{}{:?}", remembered(&ctx), ctx.limits);
    let nothing = all();
    come_and_go();
    assert_eq!(all(), nothing);
    ctx.recount.open();
    come_and_go();
    let still_there = apikey(MANY);
    apikeys(&ctx)(Event::Apply(still_there.clone().into()));
    remember(&ctx, &still_there);
    let object = object_key::<ApiKey>(Some("team"), &still_there.name_any());
    ctx.failures.wait(&object, Class::Transient);
    assert!(ctx.limits.allows(&object, Instant::now()));
    ctx.forget_term();
    apikeys(&ctx)(Event::Delete(Identity::of(&still_there)));
    assert_eq!(all(), nothing);
}

#[tokio::test]
async fn a_key_that_is_seen_in_the_cache_has_been_counted() {
    let ctx = context();
    declare_full(&ctx);
    let uncounted: Vec<_> = std::thread::scope(|threads| {
        threads.spawn(|| {
            let mut apikeys = apikeys(&ctx);
            for n in 0..10 * MANY {
                apikeys(Event::Apply(apikey(n).into()));
            }
        });
        let is_uncounted = |n: &u64| {
            let key = apikey(*n);
            while !ctx.knows(&key) {
                std::hint::spin_loop();
            }
            ctx.quota_index
                .lock()
                .over_quota(&KeyRef::of(&key))
                .is_none()
        };
        (0..10 * MANY).filter(is_uncounted).collect()
    });
    assert_eq!(uncounted, [0; 0]);
}

#[tokio::test]
async fn an_answer_of_a_write_that_comes_while_the_deletion_is_delivered_leaves_no_ghost() {
    let ctx = context();
    let nothing = remembered(&ctx);
    let at_version = |version: u64| {
        let mut key = apikey(0);
        key.metadata.resource_version = Some(version.to_string());
        key
    };
    for n in 0..MANY {
        let [stored, answer, last] = [1, 2, 3].map(|step| at_version(10 * n + step));
        apikeys(&ctx)(Event::Apply(stored.into()));
        let generation = ctx.caches.apikeys.generation();
        let both = Barrier::new(2);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                both.wait();
                ctx.record_apikey(generation, answer);
            });
            threads.spawn(|| {
                let mut apikeys = apikeys(&ctx);
                both.wait();
                apikeys(Event::Delete(Identity::of(&last)));
            });
        });
        assert_eq!(remembered(&ctx), nothing);
        assert!(ctx.caches.apikeys.all().is_empty());
    }
}
