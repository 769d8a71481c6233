//! Processes a queue: one worker at a time per object, and the tenants in turn.

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
use super::failures::object_key;
use super::queue::{ObjectName, Queue};
use crate::telemetry::RECONCILE;
use apikey_client::error::{Class, Error};

/// When to reconcile an object again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// This long after the reconcile began, or at an earlier change.
    After(Duration),
    /// At the next change.
    OnChange,
}

/// A controller: its queue, its objects and its reconcile function.
pub struct Controller<K: Resource<DynamicType = ()> + Clone + 'static, F> {
    /// Its name in metrics and logs.
    pub name: &'static str,
    /// Maximum number of objects reconciled at the same time.
    pub workers: u16,
    /// The objects to reconcile.
    pub queue: fn(&Queues) -> &Queue,
    /// The current objects.
    pub cache: fn(&Context) -> &Cache<K>,
    /// Enqueues an object.
    pub enqueue: fn(&Context, &K),
    /// Reconciles an object.
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
    /// Opens the queue and enqueues all objects that exist now.
    pub fn open(&self, ctx: &Context) {
        (self.queue)(&ctx.queues).open(self.workers);
        for object in (self.cache)(ctx).all() {
            (self.enqueue)(ctx, &object);
        }
    }

    /// Runs until the queue is closed and running reconciles have finished.
    pub async fn run(self, ctx: &Arc<Context>) {
        let (queue, cache) = ((self.queue)(&ctx.queues), (self.cache)(ctx));
        ctx.metrics.allow_workers(self.name, self.workers);
        let begin = |object: &ObjectName| {
            let key = object_key::<K>(object.namespace.as_deref(), &object.name);
            if let Some(found) = cache.get(&object.reference()) {
                let ctx = Arc::clone(ctx);
                return Some(observed(self.name, (found, key), ctx, self.reconcile));
            }
            ctx.failures.clear(&key);
            None
        };
        work_off(queue, self.workers.into(), begin).await;
    }
}

/// Runs until the queue is closed and running reconciles have finished. `begin` starts the work on
/// an object, if it still exists; the work returns when to do it again.
async fn work_off<F>(queue: &Queue, workers: usize, begin: impl Fn(&ObjectName) -> Option<F>)
where
    F: Future<Output = Option<Instant>> + Send + 'static,
{
    let mut running = JoinSet::new();
    loop {
        while running.len() < workers
            && let Some(object) = queue.take()
        {
            match begin(&object) {
                Some(work) => {
                    running.spawn(work.map(|next| (object, next)));
                }
                None => queue.end(object, None),
            }
        }
        if running.is_empty() && !queue.is_open() {
            return;
        }
        let due = queue.next_due().filter(|_| running.len() < workers);
        let is_due = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(ended) = running.join_next() => {
                // Panics are caught inside the task, and whatever aborts a reconcile ends this loop
                // too.
                if let Ok((object, next)) = ended {
                    queue.end(object, next);
                }
            }
            () = queue.changed() => {}
            () = is_due => {}
        }
    }
}

/// The result of a reconcile; a panic counts as a failure.
async fn caught(running: impl Future<Output = Result<Next, Error>>) -> Result<Next, Error> {
    let caught = AssertUnwindSafe(running).catch_unwind().await;
    caught.unwrap_or_else(|_| Err(Error::internal("reconcile", &Panicked)))
}

/// Runs one reconcile in its span, measures and counts it. Returns when to reconcile the object
/// again.
async fn observed<K, F>(
    controller: &'static str,
    (object, key): (Arc<K>, String),
    ctx: Arc<Context>,
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
    let active = ctx.metrics.reconcile_begins(controller);
    let begun = Instant::now();
    let running = reconcile(object, Arc::clone(&ctx)).instrument(span.clone());
    let result = caught(running).await;
    drop(active);
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
            } else if ctx.limits.allows(&key, Instant::now()) {
                tracing::warn!(parent: &span, %error, "Reconcile failed");
            } else {
                tracing::debug!(parent: &span, %error, "Reconcile failed again");
            }
            Instant::now().checked_add(ctx.failures.wait(&key, error.class()))
        }
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::{Condvar, Mutex};

    use super::*;
    use crate::controller::testing::context;
    use crate::controller::turns::Tenant;
    use apikey_api::{Organization, OrganizationSpec};

    const LATER: Duration = Duration::from_secs(10);

    fn tenant() -> Tenant {
        Tenant {
            organization: "a".into(),
            namespace: "a".into(),
        }
    }

    fn object(name: &str) -> ObjectName {
        ObjectName::within("a", name)
    }

    /// Processes objects until `wanted` have begun; returns their names, and when each began.
    async fn names(
        queue: &Queue,
        wanted: usize,
        work: fn(&str) -> Result<Next, Error>,
    ) -> Vec<(String, Duration)> {
        let (begun, done) = (Instant::now(), Mutex::new(Vec::new()));
        work_off(queue, 2, |object| {
            let name = object.name.to_string();
            done.lock().push((name.clone(), begun.elapsed()));
            if done.lock().len() == wanted {
                queue.close();
            }
            Some(async move {
                let result = caught(async { work(&name) }).await;
                match result {
                    Ok(Next::After(wait)) => Instant::now().checked_add(wait),
                    Ok(Next::OnChange) => None,
                    Err(error) => {
                        assert_eq!(error.class(), Class::Bug);
                        Instant::now().checked_add(LATER)
                    }
                }
            })
        })
        .await;
        done.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn a_reconcile_that_panics_ends_no_other_and_is_tried_again() {
        let queue = Queue::default();
        queue.open(2);
        for name in ["broken", "good", "other"] {
            queue.push(&tenant(), object(name));
        }
        let done = names(&queue, 4, |name| match name {
            "broken" => panic!("on purpose"),
            _ => Ok(Next::OnChange),
        })
        .await;
        let order: Vec<_> = done.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(order, ["broken", "good", "other", "broken"]);
        assert!(done[2].1 < LATER && done[3].1 >= LATER, "{done:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_due_later_comes_later_and_nothing_begins_once_the_queue_is_closed() {
        let queue = Queue::default();
        queue.open(2);
        queue.push(&tenant(), object("1"));
        let done = names(&queue, 3, |_| Ok(Next::After(LATER))).await;
        let times = done.iter().map(|(_, time)| time.as_secs());
        assert_eq!(times.collect::<Vec<_>>(), [0, 10, 20]);
        queue.push(&tenant(), object("2"));
        assert_eq!(queue.take(), None);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn reconciles_run_beside_each_other_even_if_they_block_their_thread() {
        let queue = Queue::default();
        queue.open(4);
        for name in ["1", "2"] {
            queue.push(&tenant(), object(name));
        }
        let meeting = Arc::new((Mutex::new(0), Condvar::new()));
        let (met, begun) = (Arc::new(Mutex::new(Vec::new())), Mutex::new(0));
        work_off(&queue, 2, |_| {
            *begun.lock() += 1;
            if *begun.lock() == 2 {
                queue.close();
            }
            let (meeting, met) = (Arc::clone(&meeting), Arc::clone(&met));
            Some(async move {
                let (here, came) = &*meeting;
                let mut here = here.lock();
                *here += 1;
                came.notify_all();
                let waited = came.wait_while_for(&mut here, |here| *here < 2, LATER);
                met.lock().push(!waited.timed_out());
                None
            })
        })
        .await;
        assert_eq!(*met.lock(), [true; 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_is_due_so_long_after_its_reconcile_began_however_long_that_took() {
        async fn slow(_: Arc<Organization>, _: Arc<Context>) -> Result<Next, Error> {
            let _ = tokio::time::timeout(LATER, std::future::pending::<()>()).await;
            Ok(Next::After(LATER * 2))
        }
        let object = Organization::new("acme", OrganizationSpec::default());
        let begun = Instant::now();
        let next = observed("test", (Arc::new(object), String::new()), context(), slow).await;
        assert_eq!(begun.elapsed(), LATER);
        assert_eq!(next, Some(begun + LATER * 2));
    }
}
