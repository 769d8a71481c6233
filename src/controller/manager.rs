//! Runs the controllers while this process leads.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use kube::ResourceExt as _;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::context::Context;
use super::leader::Leadership;
use super::workers::Controller;
use super::{apikey, keyrings, organization, sweeper, watches};
use apikey_api::KeyRef;
use apikey_credential::fingerprint::PepperRing;
use apikey_credential::signing::SigningRing;

/// Maximum number of organizations, and of credential records, reconciled at the same time.
const SMALL_CONCURRENCY: u16 = 8;
/// Wait before the pepper ring is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// Runs the controllers whenever this process leads, until `stopped`.
pub async fn lead(
    ctx: &Arc<Context>,
    mut leadership: Leadership,
    concurrency: u16,
    mut stopped: watch::Receiver<bool>,
) {
    ctx.metrics.leads(false);
    loop {
        tokio::select! {
            () = leadership.begins() => {}
            _ = stopped.wait_for(|stopped| *stopped) => break,
        }
        ctx.metrics.leads(true);
        tracing::info!("Leading: reconciling");
        let mut stop = stopped.clone();
        let is_lost = leadership.ends();
        let ends = async move {
            tokio::select! {
                () = is_lost => {}
                _ = stop.wait_for(|stopped| *stopped) => {}
            }
        };
        tokio::select! {
            () = work(ctx, concurrency, ends) => {}
            () = leadership.is_over() => {
                tracing::warn!("Running work is cut off: another controller may lead");
            }
        }
        ctx.queues.close();
        ctx.forget_term();
        ctx.metrics.leads(false);
        tracing::info!("No longer leading");
        if *stopped.borrow() {
            break;
        }
    }
    leadership.release().await;
}

/// Reconciles everything once, and afterwards each change, while this process leads. Returns when
/// running reconciles have finished.
async fn work(ctx: &Arc<Context>, concurrency: u16, ends: impl Future<Output = ()>) {
    let ends = ends.shared();
    // Dropped at the end of leadership. Minting waits for the peppers, and not for the keys that
    // sign tokens.
    let mut keyrings = JoinSet::new();
    keyrings.spawn(keyrings::follow::<SigningRing>(Arc::clone(ctx)));
    tokio::select! {
        () = ensure_peppers(ctx) => {}
        () = ends.clone() => return,
    }
    ctx.secret_pool.fill();
    keyrings.spawn(keyrings::follow::<PepperRing>(Arc::clone(ctx)));
    let keys = Controller {
        name: apikey::CONTROLLER,
        workers: concurrency,
        queue: |queues| &queues.apikeys,
        cache: |ctx| &ctx.caches.apikeys,
        enqueue: |ctx, apikey| ctx.enqueue(&KeyRef::of(apikey)),
        reconcile: apikey::reconcile,
    };
    let organizations = Controller {
        name: organization::CONTROLLER,
        workers: SMALL_CONCURRENCY,
        queue: |queues| &queues.organizations,
        cache: |ctx| &ctx.caches.organizations,
        enqueue: |ctx, organization| ctx.enqueue_organization(&organization.name_any()),
        reconcile: organization::reconcile,
    };
    let records = Controller {
        name: sweeper::CONTROLLER,
        workers: SMALL_CONCURRENCY,
        queue: |queues| &queues.records,
        cache: |ctx| &ctx.caches.records,
        enqueue: Context::enqueue_record,
        reconcile: sweeper::reconcile,
    };
    ctx.recount.open();
    keys.open(ctx);
    organizations.open(ctx);
    records.open(ctx);
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
        ctx.queues.close();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = futures::future::join3(keys.run(ctx), organizations.run(ctx), records.run(ctx)) => {}
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
