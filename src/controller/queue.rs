//! The queue of one controller.

use std::sync::Arc;

use kube::runtime::reflector::{Lookup, ObjectRef};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::turns::{Tenant, Turns};
use apikey_api::KeyRef;

/// Identifies an object of a kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectName {
    /// Its namespace; `None` for a cluster-scoped object.
    pub namespace: Option<Arc<str>>,
    /// Its `metadata.name`.
    pub name: Arc<str>,
}

impl ObjectName {
    /// The name of a cluster-scoped object.
    #[must_use]
    pub fn of_cluster(name: &str) -> Self {
        Self {
            namespace: None,
            name: name.into(),
        }
    }

    /// The name of an object in a namespace.
    #[must_use]
    pub fn within(namespace: &str, name: &str) -> Self {
        Self {
            namespace: Some(namespace.into()),
            name: name.into(),
        }
    }

    /// Converts to the key of the caches.
    #[must_use]
    pub fn reference<K: Lookup<DynamicType = ()>>(&self) -> ObjectRef<K> {
        let reference = ObjectRef::new(&self.name);
        match &self.namespace {
            Some(namespace) => reference.within(namespace),
            None => reference,
        }
    }
}

impl From<&KeyRef> for ObjectName {
    fn from(key: &KeyRef) -> Self {
        Self {
            namespace: Some(Arc::clone(&key.namespace)),
            name: Arc::clone(&key.name),
        }
    }
}

/// A queue that ignores objects while it is closed, because only the leader reconciles.
#[derive(Debug, Default)]
pub struct Queue {
    turns: Mutex<Option<Turns<ObjectName>>>,
    changed: Notify,
}

impl Queue {
    /// Opens the queue, empty, for this many workers.
    pub fn open(&self, workers: u16) {
        *self.turns.lock() = Some(Turns::new(workers.into()));
    }

    /// Closes the queue, so that no new reconcile begins.
    pub fn close(&self) {
        self.turns.lock().take();
        self.changed.notify_one();
    }

    /// Whether the queue is open, that is, whether this controller leads.
    pub fn is_open(&self) -> bool {
        self.turns.lock().is_some()
    }

    /// Enqueues an object of a tenant, if the queue is open.
    pub fn push(&self, tenant: &Tenant, object: ObjectName) {
        if let Some(turns) = &mut *self.turns.lock() {
            turns.push(tenant, object);
            self.changed.notify_one();
        }
    }

    /// Takes the next object. The caller must return it with [`Queue::end`].
    pub fn take(&self) -> Option<ObjectName> {
        self.turns.lock().as_mut()?.take(Instant::now())
    }

    /// When the next object is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.turns.lock().as_ref()?.next_due()
    }

    /// Marks an object as processed, and as due again at this time.
    pub fn end(&self, object: ObjectName, next: Option<Instant>) {
        if let Some(turns) = &mut *self.turns.lock() {
            turns.end(object, next);
        }
    }

    /// Waits until an object has been pushed, or the queue has been closed, since the last call.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_closed_queue_takes_nothing_and_one_that_opens_again_is_empty() {
        let queue = Queue::default();
        let tenant = Tenant {
            organization: "a".into(),
            namespace: "a".into(),
        };
        let push = |name| queue.push(&tenant, ObjectName::within("a", name));
        push("1");
        assert_eq!(queue.take(), None);
        queue.open(4);
        push("2");
        push("3");
        queue.changed().await;
        assert_eq!(queue.take(), Some(ObjectName::within("a", "2")));
        queue.close();
        queue.changed().await;
        push("4");
        queue.open(4);
        assert_eq!(queue.take(), None);
        queue.end(ObjectName::within("a", "2"), Some(Instant::now()));
        assert_eq!((queue.take(), queue.next_due()), (None, None));
    }
}
