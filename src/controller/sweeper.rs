//! The sweeper: removes credential records whose `ApiKey` is deleted, and records that in the audit
//! log.
//!
//! An `ApiKey` has no finalizer, so its deletion waits for nothing. Garbage collection removes the
//! delivered Secret. The credential record is in another namespace, so the sweeper removes it, also
//! after a restart. The token server refuses the key as soon as it sees the deletion, even before
//! the sweep.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource as _;
use kube::runtime::reflector::ObjectRef;

use super::cache::Cache;
use super::cluster::Cluster;
use super::events::{Events, Severity, Transition};
use super::queue::Queue;
use super::queues::Queues;
use super::removal::remove;
use super::restore;
use super::store::Store;
use super::workers::{Controller, Next};
use crate::audit::log::AuditLog;
use crate::audit::{self, KeyIdentity, Record};
use crate::watch::scope::WatchedNamespaces;
use crate::watch::stored::StoredRecord;
use apikey_api::ApiKey;
use apikey_api::KeyRef;
use apikey_api::conditions::reason;
use apikey_client::clock::Clock;
use apikey_client::error::Error;
use apikey_credential::record::{CredentialRecord, Owner};

/// The controller of credential records.
#[derive(Debug)]
pub(crate) struct RecordController {
    /// The API server.
    pub(crate) cluster: Cluster,
    /// What the API server has.
    pub(crate) store: Arc<Store>,
    /// Has the credential records to reconcile.
    pub(crate) queues: Arc<Queues>,
    /// The namespaces whose keys the operator sees.
    pub(crate) watched: WatchedNamespaces,
    /// Whether keys are restored from a backup.
    pub(crate) restores: bool,
    /// Records revocations.
    pub(crate) audit: AuditLog,
    /// Publishes revocations.
    pub(crate) events: Events,
    /// The time.
    pub(crate) clock: Clock,
}

impl Controller for RecordController {
    type Object = StoredRecord;
    const NAME: &'static str = "verifier";

    fn queue(&self) -> &Queue {
        &self.queues.records
    }

    fn cache(&self) -> &Cache<StoredRecord> {
        &self.store.caches.records
    }

    fn enqueue(&self, record: &StoredRecord) {
        self.queues.enqueue_record(record);
    }

    /// Removes the credential record if its key is deleted.
    async fn reconcile(&self, record: Arc<StoredRecord>) -> Result<Next, Error> {
        let Some(owner) = &record.owner else {
            return Ok(Next::OnChange);
        };
        // In a namespace that is not watched, the operator can't see whether the key exists.
        if !self.watched.contains(&owner.namespace) || self.owner_exists(owner).await? {
            return Ok(Next::OnChange);
        }
        if self.restores {
            return restore::adopt(&self.cluster, &self.store, &record, owner).await;
        }
        if remove(&self.cluster, &record).await? {
            self.report_revocation(owner, record.document.as_ref().ok());
        }
        Ok(Next::OnChange)
    }
}

impl RecordController {
    async fn owner_exists(&self, owner: &Owner) -> Result<bool, Error> {
        let reference = ObjectRef::<ApiKey>::new(&owner.name).within(&owner.namespace);
        let cached = self.store.caches.apikeys.get(&reference);
        if cached.is_some_and(|apikey| apikey.metadata.uid.as_ref() == Some(&owner.uid)) {
            return Ok(true);
        }
        // The cache may lag behind, and a credential record in use must never be removed.
        let key = KeyRef::new(&owner.namespace, &owner.name);
        Ok(self.cluster.find_apikey(&key, &owner.uid).await?.is_some())
    }

    fn report_revocation(&self, owner: &Owner, document: Option<&CredentialRecord>) {
        let Owner {
            namespace,
            name,
            uid,
        } = owner.clone();
        if let Some(document) = document {
            let identity = KeyIdentity {
                email: document.email.clone(),
                key_id: document.key_id.to_string(),
                namespace: namespace.clone(),
                name: name.clone(),
                org: document.org.clone(),
            };
            let record = Record::new(self.clock.now(), audit::Action::Revoke, identity);
            self.audit.record(Record {
                revision: Some(document.current.revision),
                ..record
            });
        }
        let key_id = document.map(|document| document.key_id.as_str());
        tracing::info!(namespace, name, key_id, "Revoked a deleted key");
        let regarding = ObjectReference {
            api_version: Some(ApiKey::api_version(&()).into_owned()),
            kind: Some(ApiKey::kind(&()).into_owned()),
            namespace: Some(namespace),
            name: Some(name),
            uid: Some(uid),
            ..ObjectReference::default()
        };
        let message = "The ApiKey was deleted: its secret is revoked";
        let transition = Transition::new(Severity::Normal, reason::REVOKED, message);
        self.events.publish(regarding, transition);
    }
}
