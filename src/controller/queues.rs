//! The queues of all controllers, and who takes turns in them.

use std::sync::Arc;

use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use super::queue::{ObjectName, Queue};
use super::recount::Recount;
use super::store::Store;
use super::turns::Tenant;
use crate::watch::stored::StoredRecord;
use apikey_api::{KeyRef, names};
use apikey_client::object::Identity;
use apikey_policy::quota_index::QuotaIndex;

/// Objects to reconcile, one queue per controller.
#[derive(Debug)]
pub(crate) struct Queues {
    /// Keys.
    pub(crate) apikeys: Queue,
    /// Organizations.
    pub(crate) organizations: Queue,
    /// Credential records, which are swept if their key is deleted.
    pub(crate) records: Queue,
    /// Organizations to enqueue soon, because their number of keys changed.
    pub(crate) recount: Recount,
    store: Arc<Store>,
    /// Namespace of the credential records.
    namespace: Arc<str>,
}

impl Queues {
    /// Creates closed queues of what is in this store, with the credential records in `namespace`.
    #[must_use]
    pub(crate) fn new(store: Arc<Store>, namespace: Arc<str>) -> Self {
        Self {
            apikeys: Queue::default(),
            organizations: Queue::default(),
            records: Queue::default(),
            recount: Recount::default(),
            store,
            namespace,
        }
    }

    /// Closes all queues, so that no new reconcile begins.
    pub(crate) fn close(&self) {
        self.apikeys.close();
        self.organizations.close();
        self.records.close();
        self.recount.close();
    }

    /// Enqueues a key. The caller has locked the index already, which knows its organization.
    pub(crate) fn enqueue_apikey(&self, quota_index: &QuotaIndex, key: &KeyRef) {
        let organization = quota_index.counted_by(key);
        let tenant = Tenant {
            organization: organization.unwrap_or_default(),
            namespace: Arc::clone(&key.namespace),
        };
        self.apikeys.push(&tenant, key.into());
    }

    /// Enqueues an organization.
    pub(crate) fn enqueue_organization(&self, name: &str) {
        let organization = ObjectName::of_cluster(name);
        let tenant = Tenant {
            organization: Arc::clone(&organization.name),
            namespace: Arc::default(),
        };
        self.organizations.push(&tenant, organization);
    }

    /// Enqueues the organizations whose number of keys changed since the last call.
    pub(crate) fn enqueue_recounts(&self) {
        for name in self.recount.take() {
            let organizations = &self.store.caches.organizations;
            if organizations.get(&ObjectRef::new(&name)).is_some() {
                self.enqueue_organization(&name);
            }
        }
    }

    /// Enqueues a credential record, which is swept if its key is deleted.
    pub(crate) fn enqueue_record(&self, record: &StoredRecord) {
        if let Some(owner) = &record.owner {
            self.push_record(&owner.namespace, &record.name_any());
        }
    }

    /// Enqueues the credential record of a deleted key.
    pub(crate) fn enqueue_record_of(&self, apikey: &Identity) {
        let namespace = apikey.namespace.as_deref().unwrap_or_default();
        self.push_record(namespace, &names::record_secret(&apikey.uid));
    }

    fn push_record(&self, namespace: &str, name: &str) {
        let record = ObjectName::within(&self.namespace, name);
        let tenant = Tenant {
            organization: Arc::default(),
            namespace: namespace.into(),
        };
        self.records.push(&tenant, record);
    }
}
