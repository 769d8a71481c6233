use std::sync::Barrier;
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::controller::apikey::reported::Reported;
use crate::controller::apikey::writes::Writer;
use crate::controller::assembly::Assembly;
use crate::controller::queue::Queue;
use crate::controller::testing::assembly;
use crate::controller::workers::{Controller, Monitor, Next, Workers};
use crate::metrics::Metrics;
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

fn apikeys(handlers: &Arc<WatchHandlers>) -> impl FnMut(Event<ApiKey>) + use<> {
    handlers.handler(
        &WatchScope::Everything,
        |caches| &caches.apikeys,
        WatchHandlers::on_apikey,
    )
}

/// Makes `acme` allow no keys.
fn declare_full(handlers: &Arc<WatchHandlers>) {
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
    let mut organizations = handlers.handler(
        &WatchScope::Everything,
        |caches| &caches.organizations,
        WatchHandlers::on_organization,
    );
    organizations(Event::Apply(acme.into()));
}

/// Everything that is remembered of keys, except the keys themselves.
fn remembered(handlers: &WatchHandlers) -> String {
    let (queues, memory) = (&handlers.queues, &handlers.memory);
    format!(
        "{:?}",
        (
            &handlers.store.quota_index,
            (&queues.apikeys, &queues.organizations, &queues.records),
            &queues.recount,
            &memory.failures,
            &memory.replacements,
            &memory.reports,
        )
    )
}

fn remember(handlers: &WatchHandlers, apikey: &ApiKey) {
    let (store, memory) = (&handlers.store, &handlers.memory);
    let uid = apikey.metadata.uid.as_deref().unwrap();
    memory
        .reports
        .set(uid, Reported::default(), || store.knows(apikey));
    memory
        .replacements
        .set(uid, Vec::new(), || store.knows(apikey));
}

/// A controller whose reconciles fail late: the watch delivers the deletion of the key while they
/// run.
struct TooLate(Arc<WatchHandlers>);

impl Controller for TooLate {
    type Object = ApiKey;
    const NAME: &'static str = "apikey";

    fn queue(&self) -> &Queue {
        &self.0.queues.apikeys
    }

    fn cache(&self) -> &Cache<ApiKey> {
        &self.0.store.caches.apikeys
    }

    fn enqueue(&self, apikey: &ApiKey) {
        let quota_index = self.0.store.quota_index.lock();
        self.0
            .queues
            .enqueue_apikey(&quota_index, &KeyRef::of(apikey));
    }

    async fn reconcile(&self, apikey: Arc<ApiKey>) -> Result<Next, Error> {
        let (handlers, memory) = (&self.0, &self.0.memory);
        remember(handlers, &apikey);
        let uid = apikey.metadata.uid.as_deref().unwrap();
        assert!(memory.reports.of(uid).is_some() && memory.replacements.of(uid).is_some());
        apikeys(handlers)(Event::Delete(Identity::of(&*apikey)));
        remember(handlers, &apikey);
        Err(Error::internal("reconcile", &std::fmt::Error))
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_many_keys_that_were_deleted_while_they_were_reconciled() {
    let handlers = assembly().handlers;
    let monitor = Monitor {
        failures: Arc::clone(&handlers.memory.failures),
        limits: Arc::clone(&handlers.memory.limits),
        metrics: Metrics::new(),
    };
    let keys = Workers::new(TooLate(Arc::clone(&handlers)), 4, monitor);
    keys.open();
    handlers.queues.recount.open();
    for n in 0..MANY {
        apikeys(&handlers)(Event::Apply(apikey(n).into()));
    }
    let stop = async {
        let mut look = tokio::time::interval(Duration::from_mins(1));
        while remembered(&handlers).contains("key-") {
            look.tick().await;
        }
        handlers.queues.apikeys.close();
    };
    let within = Duration::from_hours(1);
    let ran = async { tokio::join!(keys.run(), stop) };
    let ended = tokio::time::timeout(within, ran).await;
    assert!(ended.is_ok(), "{}", remembered(&handlers));
    handlers.queues.enqueue_recounts();
    assert!(
        !remembered(&handlers).contains("acme"),
        "{}",
        remembered(&handlers)
    );
}

#[tokio::test]
async fn who_stands_by_or_leads_no_longer_remembers_no_key_but_what_the_watches_show() {
    let Assembly {
        handlers, manager, ..
    } = assembly();
    let memory = &handlers.memory;
    let come_and_go = || {
        for n in 0..MANY {
            apikeys(&handlers)(Event::Apply(apikey(n).into()));
        }
        for n in 0..MANY {
            apikeys(&handlers)(Event::Delete(Identity::of(&apikey(n))));
        }
    };
    let all = || format!("{}{:?}", remembered(&handlers), memory.limits);
    // Closing a queue wakes its workers, which its state shows afterwards.
    manager.forget();
    let nothing = all();
    come_and_go();
    assert_eq!(all(), nothing);
    handlers.queues.recount.open();
    come_and_go();
    let still_there = apikey(MANY);
    apikeys(&handlers)(Event::Apply(still_there.clone().into()));
    remember(&handlers, &still_there);
    let object = object_key::<ApiKey>(Some("team"), &still_there.name_any());
    memory.failures.wait(&object, Class::Transient);
    assert!(memory.limits.allows(&object, Instant::now()));
    manager.forget();
    apikeys(&handlers)(Event::Delete(Identity::of(&still_there)));
    assert_eq!(all(), nothing);
}

#[tokio::test]
async fn a_key_that_is_seen_in_the_cache_has_been_counted() {
    let handlers = assembly().handlers;
    declare_full(&handlers);
    let store = &handlers.store;
    let uncounted: Vec<_> = std::thread::scope(|threads| {
        threads.spawn(|| {
            let mut apikeys = apikeys(&handlers);
            for n in 0..10 * MANY {
                apikeys(Event::Apply(apikey(n).into()));
            }
        });
        let is_uncounted = |n: &u64| {
            let key = apikey(*n);
            while !store.knows(&key) {
                std::hint::spin_loop();
            }
            store
                .quota_index
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
    let Assembly {
        cluster, handlers, ..
    } = assembly();
    let writer = Writer {
        cluster,
        store: Arc::clone(&handlers.store),
        queues: Arc::clone(&handlers.queues),
    };
    let nothing = remembered(&handlers);
    let at_version = |version: u64| {
        let mut key = apikey(0);
        key.metadata.resource_version = Some(version.to_string());
        key
    };
    for n in 0..MANY {
        let [stored, answer, last] = [1, 2, 3].map(|step| at_version(10 * n + step));
        apikeys(&handlers)(Event::Apply(stored.into()));
        let generation = handlers.store.caches.apikeys.generation();
        let both = Barrier::new(2);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                both.wait();
                writer.store_status(generation, answer);
            });
            threads.spawn(|| {
                let mut apikeys = apikeys(&handlers);
                both.wait();
                apikeys(Event::Delete(Identity::of(&last)));
            });
        });
        assert_eq!(remembered(&handlers), nothing);
        assert!(handlers.store.caches.apikeys.all().is_empty());
    }
}
