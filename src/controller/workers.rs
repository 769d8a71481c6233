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
use super::failures::{Failures, object_key};
use super::message_limits::MessageLimits;
use super::queue::{ObjectName, Queue};
use crate::metrics::Metrics;
use crate::telemetry::RECONCILE;
use apikey_client::error::{Class, Error};

/// When to reconcile an object again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// This long after the reconcile began, or at an earlier change.
    After(Duration),
    /// At the next change.
    OnChange,
}

/// What a controller reconciles, and how.
pub(crate) trait Controller: Send + Sync + 'static {
    /// The kind of its objects.
    type Object: Resource<DynamicType = ()> + Clone + Send + Sync + 'static;
    /// Its name in metrics and logs.
    const NAME: &'static str;

    /// The objects to reconcile.
    fn queue(&self) -> &Queue;

    /// The current objects.
    fn cache(&self) -> &Cache<Self::Object>;

    /// Enqueues an object.
    fn enqueue(&self, object: &Self::Object);

    /// Reconciles an object. Returns when to do it again.
    ///
    /// # Errors
    /// A step failed. The object is reconciled again after a wait that grows.
    fn reconcile(
        &self,
        object: Arc<Self::Object>,
    ) -> impl Future<Output = Result<Next, Error>> + Send;
}

/// The workers of one controller.
#[derive(Debug)]
pub(crate) struct Workers<C> {
    controller: Arc<C>,
    /// Maximum number of objects reconciled at the same time.
    count: u16,
    monitor: Monitor,
}

/// Measures reconciles, logs their failures, and decides how long to wait after each.
#[derive(Clone, Debug)]
pub(crate) struct Monitor {
    /// Consecutive failures, per object.
    pub(crate) failures: Arc<Failures>,
    /// Limits what is logged per object.
    pub(crate) limits: Arc<MessageLimits>,
    /// Counts reconciles.
    pub(crate) metrics: Metrics,
}

/// A reconcile panicked.
#[derive(Debug, thiserror::Error)]
#[error("it panicked")]
struct Panicked;

impl<C: Controller> Workers<C> {
    /// Creates workers that reconcile at most `count` objects at the same time.
    pub(crate) fn new(controller: C, count: u16, monitor: Monitor) -> Self {
        Self {
            controller: Arc::new(controller),
            count,
            monitor,
        }
    }

    /// Opens the queue and enqueues all objects that exist now.
    pub(crate) fn open(&self) {
        self.controller.queue().open(self.count);
        for object in self.controller.cache().all() {
            self.controller.enqueue(&object);
        }
    }

    /// Runs until the queue is closed and running reconciles have finished.
    pub(crate) async fn run(&self) {
        let monitor = &self.monitor;
        monitor.metrics.allow_workers(C::NAME, self.count);
        let begin = |object: &ObjectName| {
            let key = object_key::<C::Object>(object.namespace.as_deref(), &object.name);
            if let Some(found) = self.controller.cache().get(&object.reference()) {
                let controller = Arc::clone(&self.controller);
                return Some(monitor.clone().reconcile(controller, found, key));
            }
            monitor.failures.clear(&key);
            None
        };
        work_off(self.controller.queue(), self.count.into(), begin).await;
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

impl Monitor {
    /// Runs one reconcile in its span, measures and counts it. Returns when to reconcile the object
    /// again.
    async fn reconcile<C: Controller>(
        self,
        controller: Arc<C>,
        object: Arc<C::Object>,
        key: String,
    ) -> Option<Instant> {
        let span = tracing::info_span!(
            RECONCILE,
            controller = C::NAME,
            namespace = object.namespace(),
            name = object.name_any(),
            generation = object.meta().generation,
            result = Empty,
            otel.status_code = Empty,
        );
        let active = self.metrics.reconcile_begins(C::NAME);
        let begun = Instant::now();
        let running = controller.reconcile(object).instrument(span.clone());
        let result = caught(running).await;
        drop(active);
        let class = result.as_ref().err().map(|error| error.class().as_str());
        self.metrics
            .reconcile_ended(C::NAME, begun.elapsed(), class);
        span.record("result", class.unwrap_or("ok"));
        if class.is_some() {
            span.record("otel.status_code", "ERROR");
        }
        match result {
            Ok(next) => {
                self.failures.clear(&key);
                match next {
                    Next::After(wait) => begun.checked_add(wait),
                    Next::OnChange => None,
                }
            }
            Err(error) => {
                if error.class() == Class::Conflict {
                    tracing::debug!(parent: &span, %error, "Reconcile met a conflict");
                } else if self.limits.allows(&key, Instant::now()) {
                    tracing::warn!(parent: &span, %error, "Reconcile failed");
                } else {
                    tracing::debug!(parent: &span, %error, "Reconcile failed again");
                }
                Instant::now().checked_add(self.failures.wait(&key, error.class()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::{Condvar, Mutex};

    use super::*;
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

    /// Takes its time for each object.
    #[derive(Default)]
    struct Slow {
        queue: Queue,
        cache: Cache<Organization>,
    }

    impl Controller for Slow {
        type Object = Organization;
        const NAME: &'static str = "slow";

        fn queue(&self) -> &Queue {
            &self.queue
        }

        fn cache(&self) -> &Cache<Organization> {
            &self.cache
        }

        fn enqueue(&self, organization: &Organization) {
            let name = ObjectName::of_cluster(&organization.name_any());
            self.queue.push(&tenant(), name);
        }

        async fn reconcile(&self, _: Arc<Organization>) -> Result<Next, Error> {
            let _ = tokio::time::timeout(LATER, std::future::pending::<()>()).await;
            Ok(Next::After(LATER * 2))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_is_due_so_long_after_its_reconcile_began_however_long_that_took() {
        let object = Organization::new("acme", OrganizationSpec::default());
        let monitor = Monitor {
            failures: Arc::default(),
            limits: Arc::default(),
            metrics: Metrics::new(),
        };
        let slow = Arc::new(Slow::default());
        let begun = Instant::now();
        let next = monitor
            .reconcile(slow, Arc::new(object), String::new())
            .await;
        assert_eq!(begun.elapsed(), LATER);
        assert_eq!(next, Some(begun + LATER * 2));
    }
}
