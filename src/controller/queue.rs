//! What is to be reconciled, by one controller.

use std::sync::Arc;

use kube::runtime::reflector::{Lookup, ObjectRef};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::turns::{Tenant, Turns};
use apikey_api::KeyRef;

/// Which object of its kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectName {
    /// Its namespace; `None` for an object of the cluster.
    pub namespace: Option<Arc<str>>,
    /// Its `metadata.name`.
    pub name: Arc<str>,
}

impl ObjectName {
    /// Of an object of the cluster.
    #[must_use]
    pub fn of_cluster(name: &str) -> Self {
        Self {
            namespace: None,
            name: name.into(),
        }
    }

    /// Of an object in a namespace.
    #[must_use]
    pub fn within(namespace: &str, name: &str) -> Self {
        Self {
            namespace: Some(namespace.into()),
            name: name.into(),
        }
    }

    /// As the caches want it.
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

/// A queue that takes nothing while it is closed: only the leader works.
#[derive(Debug, Default)]
pub struct Queue {
    turns: Mutex<Option<Turns<ObjectName>>>,
    changed: Notify,
}

impl Queue {
    /// Opens the queue, which is empty, for so many workers.
    pub fn open(&self, workers: u16) {
        *self.turns.lock() = Some(Turns::new(workers.into()));
    }

    /// Closes the queue: nothing new begins.
    pub fn close(&self) {
        self.turns.lock().take();
        self.changed.notify_one();
    }

    /// Whether the queue is open: this controller leads.
    pub fn is_open(&self) -> bool {
        self.turns.lock().is_some()
    }

    /// Has an object of a tenant wait for its turn, if the queue is open.
    pub fn push(&self, tenant: &Tenant, object: ObjectName) {
        if let Some(turns) = &mut *self.turns.lock() {
            turns.push(tenant, object);
            self.changed.notify_one();
        }
    }

    /// The object whose turn it is; to be given back by [`Queue::end`].
    pub fn take(&self) -> Option<ObjectName> {
        self.turns.lock().as_mut()?.take(Instant::now())
    }

    /// When the next object has to be looked at again.
    pub fn next_due(&self) -> Option<Instant> {
        self.turns.lock().as_ref()?.next_due()
    }

    /// An object is no longer worked on, and has to be looked at again at this time.
    pub fn end(&self, object: ObjectName, next: Option<Instant>) {
        if let Some(turns) = &mut *self.turns.lock() {
            turns.end(object, next);
        }
    }

    /// Ends when something was pushed, or the queue was closed, since the last call.
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
