//! Working off the queues while this process leads.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use kube::runtime::controller::{self, Action, applier};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt as _};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument as _;
use tracing::field::Empty;

use super::context::Context;
use super::leader::Leadership;
use super::watches::failure_key;
use super::{apikey, keyrings, organization, verifiers, watches};
use crate::credential::fingerprint::PepperRing;
use crate::credential::signing::SigningRing;
use crate::error::{Class, Error};
use crate::object::Identity;
use crate::telemetry::RECONCILE;
use crate::watch::roster::KeyRef;

/// Organizations and verifiers reconciled at the same time.
const SMALL_CONCURRENCY: u16 = 8;
/// Wait before the pepper ring is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// Works whenever this process leads, until `stopped`.
pub async fn lead(
    ctx: &Arc<Context>,
    mut leadership: Leadership,
    concurrency: u16,
    mut stopped: watch::Receiver<bool>,
) {
    ctx.metrics.leads(false);
    loop {
        tokio::select! {
            led = leadership.leads.wait_for(|leads| *leads) => {
                if led.is_err() {
                    break;
                }
            }
            _ = stopped.wait_for(|stopped| *stopped) => break,
        }
        ctx.metrics.leads(true);
        tracing::info!("Leading: reconciling");
        let mut leads = leadership.leads.clone();
        let mut stop = stopped.clone();
        let ends = async move {
            tokio::select! {
                _ = leads.wait_for(|leads| !*leads) => {}
                _ = stop.wait_for(|stopped| *stopped) => {}
            }
        };
        work(ctx, concurrency, ends).await;
        ctx.reports.clear();
        ctx.metrics.leads(false);
        tracing::info!("No longer leading");
        if *stopped.borrow() {
            break;
        }
    }
    leadership.release().await;
}

/// One term: everything is looked at once, then whatever changes. Ends when running work has ended.
async fn work(ctx: &Arc<Context>, concurrency: u16, ends: impl Future<Output = ()>) {
    let ends = ends.shared();
    // Ends with the term. Minting waits for the peppers and not for the keys that sign tokens.
    let mut keyrings = JoinSet::new();
    keyrings.spawn(keyrings::follow::<SigningRing>(Arc::clone(ctx)));
    tokio::select! {
        () = ensure_peppers(ctx) => {}
        () = ends.clone() => return,
    }
    ctx.stock.fill();
    keyrings.spawn(keyrings::follow::<PepperRing>(Arc::clone(ctx)));
    let queues = &ctx.queues;
    let controllers = futures::future::join3(
        run(
            ctx,
            apikey::CONTROLLER,
            concurrency,
            ctx.caches.apikeys.reader(),
            queues.apikeys.open(),
            apikey::reconcile,
        ),
        run(
            ctx,
            organization::CONTROLLER,
            SMALL_CONCURRENCY,
            ctx.caches.organizations.reader(),
            queues.organizations.open(),
            organization::reconcile,
        ),
        run(
            ctx,
            verifiers::CONTROLLER,
            SMALL_CONCURRENCY,
            ctx.caches.verifiers.reader(),
            queues.verifiers.open(),
            verifiers::reconcile,
        ),
    );
    enqueue_all(ctx);
    watches::warn_of_unreadable(ctx);
    let recount = async {
        let mut tick = tokio::time::interval(organization::RECOUNT_EVERY);
        loop {
            tick.tick().await;
            organization::flush(ctx);
        }
    };
    let close = async {
        ends.await;
        queues.apikeys.close();
        queues.organizations.close();
        queues.verifiers.close();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = controllers => {}
        () = recount => {}
        () = close => {}
    }
}

async fn ensure_peppers(ctx: &Context) {
    let mut retry = tokio::time::interval(RETRY);
    loop {
        retry.tick().await;
        match keyrings::tend::<PepperRing>(ctx, true).await {
            Ok(_) => return,
            Err(error) => tracing::error!(%error, "No secret can be minted yet"),
        }
    }
}

fn enqueue_all(ctx: &Context) {
    for apikey in ctx.caches.apikeys.all() {
        ctx.enqueue(&KeyRef::of(&apikey));
    }
    for organization in ctx.caches.organizations.all() {
        ctx.queues
            .organizations
            .push(ObjectRef::from_obj(&*organization));
    }
    for verifier in ctx.caches.verifiers.all() {
        ctx.queues.verifiers.push(ObjectRef::from_obj(&*verifier));
    }
}

/// Runs one controller until its queue is closed and running work has ended.
async fn run<K, F>(
    ctx: &Arc<Context>,
    name: &'static str,
    concurrency: u16,
    store: Store<K>,
    queue: mpsc::UnboundedReceiver<ObjectRef<K>>,
    reconcile: fn(Arc<K>, Arc<Context>) -> F,
) where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Action, Error>> + Send + 'static,
{
    ctx.metrics.allow_workers(name, concurrency);
    let requests = futures::stream::unfold(queue, |mut queue| async move {
        let next = queue.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(next), queue))
    });
    let results = applier(
        move |object, ctx| observed(name, object, ctx, reconcile).boxed(),
        |object: Arc<K>, error: &Error, ctx: Arc<Context>| after_failure(&*object, error, &ctx),
        Arc::clone(ctx),
        store,
        requests.boxed(),
        controller::Config::default().concurrency(concurrency),
    );
    results.for_each(|_| std::future::ready(())).await;
}

/// One reconcile in its span, timed and counted.
async fn observed<K, F>(
    controller: &'static str,
    object: Arc<K>,
    ctx: Arc<Context>,
    reconcile: fn(Arc<K>, Arc<Context>) -> F,
) -> Result<Action, Error>
where
    K: Resource<DynamicType = ()>,
    F: Future<Output = Result<Action, Error>>,
{
    let span = tracing::info_span!(
        RECONCILE,
        controller,
        namespace = object.namespace(),
        name = object.name_any(),
        generation = object.meta().generation,
        result = Empty,
        otel.status_code = Empty,
    );
    let metrics = ctx.metrics.clone();
    let key = failure_key::<K>(&Identity::of(&*object));
    let failures = Arc::clone(&ctx);
    metrics.reconcile_begins(controller);
    let begun = Instant::now();
    let result = reconcile(object, ctx).instrument(span.clone()).await;
    let class = result.as_ref().err().map(|error| error.class().as_str());
    metrics.reconcile_ended(controller, begun.elapsed(), class);
    match &result {
        Ok(_) => failures.failures.clear(&key),
        Err(error) if error.class() == Class::Conflict => {
            tracing::debug!(parent: &span, %error, "Reconcile met a conflict");
        }
        Err(error) => tracing::warn!(parent: &span, %error, "Reconcile failed"),
    }
    span.record("result", class.unwrap_or("ok"));
    if class.is_some() {
        span.record("otel.status_code", "ERROR");
    }
    result
}

fn after_failure<K: Resource<DynamicType = ()>>(
    object: &K,
    error: &Error,
    ctx: &Context,
) -> Action {
    let wait = ctx
        .failures
        .wait(&failure_key::<K>(&Identity::of(object)), error.class());
    wait.map_or_else(Action::await_change, Action::requeue)
}
