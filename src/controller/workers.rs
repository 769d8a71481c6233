//! Works off a queue: each object by one worker at a time, the tenants in turn.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use kube::{Resource, ResourceExt as _};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument as _;
use tracing::field::Empty;

use super::cache::Cache;
use super::context::{Context, Queues};
use super::queue::Queue;
use super::watches::failure_key;
use crate::error::{Class, Error};
use crate::telemetry::RECONCILE;

/// When an object is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// So long after this reconcile began, or when something changes before.
    After(Duration),
    /// When something changes.
    OnChange,
}

/// What one controller works on, and how.
pub struct Controller<K: Resource<DynamicType = ()> + Clone + 'static, F> {
    /// Its name in metrics and logs.
    pub name: &'static str,
    /// Objects reconciled at the same time.
    pub workers: u16,
    /// What is to be reconciled.
    pub queue: fn(&Queues) -> &Queue,
    /// The objects as they are now.
    pub cache: fn(&Context) -> &Cache<K>,
    /// Brings an object to its declared state.
    pub reconcile: fn(Arc<K>, Arc<Context>) -> F,
}

/// A reconcile panicked.
#[derive(Debug, thiserror::Error)]
#[error("it panicked")]
struct Panicked;

impl<K, F> Controller<K, F>
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Next, Error>> + Send + 'static,
{
    /// Works until the queue is closed and running work has ended.
    pub async fn run(self, ctx: &Arc<Context>) {
        let (queue, cache) = ((self.queue)(&ctx.queues), (self.cache)(ctx));
        let most = usize::from(self.workers);
        ctx.metrics.allow_workers(self.name, self.workers);
        let mut running = JoinSet::new();
        loop {
            while running.len() < most
                && let Some(object) = queue.take()
            {
                let Some(found) = cache.get(&object.reference()) else {
                    ctx.failures
                        .clear(&failure_key::<K>(object.namespace.as_deref(), &object.name));
                    queue.end(object, None);
                    continue;
                };
                let (name, reconcile, ctx) = (self.name, self.reconcile, Arc::clone(ctx));
                running.spawn(async move {
                    let next = observed(name, found, &ctx, reconcile).await;
                    (object, next)
                });
            }
            if running.is_empty() && !queue.is_open() {
                return;
            }
            let due = queue.next_due().filter(|_| running.len() < most);
            let is_due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(ended) = running.join_next() => {
                    // Panics are caught where they happen, and nothing aborts a reconcile.
                    if let Ok((object, next)) = ended {
                        queue.end(object, next);
                    }
                }
                () = queue.changed() => {}
                () = is_due => {}
            }
        }
    }
}

/// One reconcile in its span, timed and counted; returns when the object has to be looked at again.
async fn observed<K, F>(
    controller: &'static str,
    object: Arc<K>,
    ctx: &Arc<Context>,
    reconcile: fn(Arc<K>, Arc<Context>) -> F,
) -> Option<Instant>
where
    K: Resource<DynamicType = ()>,
    F: Future<Output = Result<Next, Error>>,
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
    let key = failure_key::<K>(object.namespace().as_deref(), &object.name_any());
    ctx.metrics.reconcile_begins(controller);
    let begun = Instant::now();
    let running = reconcile(object, Arc::clone(ctx)).instrument(span.clone());
    let caught = AssertUnwindSafe(running).catch_unwind().await;
    let result = caught.unwrap_or_else(|_| Err(Error::internal("reconcile", &Panicked)));
    let class = result.as_ref().err().map(|error| error.class().as_str());
    ctx.metrics
        .reconcile_ended(controller, begun.elapsed(), class);
    span.record("result", class.unwrap_or("ok"));
    if class.is_some() {
        span.record("otel.status_code", "ERROR");
    }
    match result {
        Ok(next) => {
            ctx.failures.clear(&key);
            match next {
                Next::After(wait) => begun.checked_add(wait),
                Next::OnChange => None,
            }
        }
        Err(error) => {
            if error.class() == Class::Conflict {
                tracing::debug!(parent: &span, %error, "Reconcile met a conflict");
            } else {
                tracing::warn!(parent: &span, %error, "Reconcile failed");
            }
            let wait = ctx.failures.wait(&key, error.class())?;
            Instant::now().checked_add(wait)
        }
    }
}
