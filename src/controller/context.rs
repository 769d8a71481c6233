//! State that all controllers share.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::api::{GetParams, PostParams};
use kube::core::{self, PartialObjectMeta};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client, Resource as _, ResourceExt as _};
use parking_lot::Mutex;

use super::apikey::delivered::Delivered;
use super::apikey::model::Settings;
use super::apikey::reported::Reported;
use super::cache::{Cache, ListGeneration};
use super::chatter::Chatter;
use super::events::Events;
use super::failures::{Failures, object_key};
use super::keyrings::slot::Slot;
use super::queue::{ObjectName, Queue};
use super::recount::Recount;
use super::relations::Relations;
use super::remembered::Remembered;
use super::turns::Tenant;
use crate::audit::log::AuditLog;
use crate::client::WatchClients;
use crate::metrics::Metrics;
use crate::watch::Keep as _;
use crate::watch::scope::WatchedNamespaces;
use crate::watch::stored::Verifier;
use apikey_api::KeyRef;
use apikey_api::{ApiKey, Organization, names};
use apikey_client::clock::Clock;
use apikey_client::error::{Error, request};
use apikey_client::object::{Answer, Decode, Identity, NamespaceLabels};
use apikey_credential::fingerprint::PepperRing;
use apikey_credential::signing::{RotationPolicy, SigningRing};
use apikey_credential::{Hasher, SecretPool};
use apikey_policy::quota_index::QuotaIndex;

/// Parameters of every create and update; they set the field manager.
#[must_use]
pub fn post_params() -> PostParams {
    PostParams {
        field_manager: Some(names::FIELD_MANAGER.into()),
        ..PostParams::default()
    }
}

/// Clients, caches, queues and the state that exists only in memory.
#[derive(Debug)]
pub struct Context {
    /// Client for writes, and for occasional reads.
    pub client: DebugClient,
    /// Clients for watches.
    pub watch_clients: WatchClients,
    /// Namespace of the operator.
    pub namespace: String,
    /// The namespaces whose keys the operator manages.
    pub watched: WatchedNamespaces,
    /// Settings that decisions depend on.
    pub settings: Settings,
    /// The source of the current time.
    pub clock: Clock,
    /// Computes hashes.
    pub hasher: Arc<Hasher>,
    /// Secrets for new keys.
    pub secret_pool: Arc<SecretPool>,
    /// Peppers of the fingerprints. Empty until the pepper ring has been read.
    pub peppers: Slot<PepperRing>,
    /// Keys that sign tokens. The controller manages them for the token server.
    pub signing_keys: Slot<SigningRing>,
    /// Algorithm of new signing keys, and when to create one.
    pub rotation: RotationPolicy,
    /// Objects that the watches deliver.
    pub caches: Caches,
    /// Keys by organization.
    pub quota_index: Mutex<QuotaIndex>,
    /// Organizations by id and parent.
    pub relations: Mutex<Relations>,
    /// Objects to reconcile.
    pub queues: Queues,
    /// Organizations whose number of keys changed; see [`super::organization::flush`].
    pub recount: Recount,
    /// Consecutive failures, per object.
    pub failures: Failures,
    /// Rate limits of logs and Events, per object.
    pub chatter: Chatter,
    /// Times of recent secret replacements, per key.
    pub replacements: Remembered<Vec<Timestamp>>,
    /// The state that Events and the audit log reported last, per key.
    pub reports: Remembered<Reported>,
    /// Publishes Events.
    pub events: Events,
    /// Records audit entries.
    pub audit: AuditLog,
    /// Metrics.
    pub metrics: Metrics,
}

/// A client that implements `Debug`.
#[derive(Clone)]
pub struct DebugClient(pub Client);

impl std::fmt::Debug for DebugClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

/// Objects that the watches deliver, one cache per kind.
#[derive(Debug, Default)]
pub struct Caches {
    /// All keys.
    pub apikeys: Cache<ApiKey>,
    /// All organizations.
    pub organizations: Cache<Organization>,
    /// Labels of all namespaces.
    pub namespaces: Cache<NamespaceLabels>,
    /// The metadata of all delivered Secrets that reconciles need.
    pub delivered: Cache<Delivered>,
    /// All credential records.
    pub verifiers: Cache<Verifier>,
}

/// Objects to reconcile, one queue per controller.
#[derive(Debug, Default)]
pub struct Queues {
    /// Keys.
    pub apikeys: Queue,
    /// Organizations.
    pub organizations: Queue,
    /// Credential records, which are swept if their key is deleted.
    pub verifiers: Queue,
}

impl Queues {
    /// Closes all queues, so that no new reconcile begins.
    pub fn close(&self) {
        self.apikeys.close();
        self.organizations.close();
        self.verifiers.close();
    }
}

impl Context {
    /// API of the keys in a namespace.
    #[must_use]
    pub fn apikeys_in(&self, namespace: &str) -> Api<Answer<ApiKey>> {
        Api::namespaced(self.client.0.clone(), namespace)
    }

    /// Reads the key of this name and uid from the API server, without the cache.
    ///
    /// # Errors
    /// The request failed.
    pub async fn find_apikey(
        &self,
        reference: &KeyRef,
        uid: &str,
    ) -> Result<Option<PartialObjectMeta<ApiKey>>, Error> {
        let url = ApiKey::url_path(&(), Some(&reference.namespace));
        let found = self.metadata(url, &reference.name);
        let found: Option<PartialObjectMeta<ApiKey>> =
            request("look for the ApiKey", found).await?;
        Ok(found.filter(|apikey| apikey.metadata.uid.as_deref() == Some(uid)))
    }

    /// Reads the metadata of an object from the API server.
    ///
    /// # Errors
    /// The request failed, or the metadata can't be read.
    pub async fn metadata<T: Decode>(
        &self,
        url_path: String,
        name: &str,
    ) -> Result<Option<T>, kube::Error> {
        let get = core::Request::new(url_path).get_metadata(name, &GetParams::default());
        let get = get.map_err(kube::Error::BuildRequest)?;
        match self.client.0.request::<Answer<T>>(get).await {
            Ok(Answer(found)) => Ok(Some(found)),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// API of the credential records, without unneeded metadata.
    #[must_use]
    pub fn verifiers(&self) -> Api<Answer<Secret>> {
        Api::namespaced(self.client.0.clone(), &self.namespace)
    }

    /// Enqueues a key.
    pub fn enqueue(&self, key: &KeyRef) {
        let organization = self.quota_index.lock().counted_by(key);
        let tenant = Tenant {
            organization: organization.unwrap_or_default(),
            namespace: Arc::clone(&key.namespace),
        };
        self.queues.apikeys.push(&tenant, key.into());
    }

    /// Enqueues an organization.
    pub fn enqueue_organization(&self, name: &str) {
        let organization = ObjectName::of_cluster(name);
        let tenant = Tenant {
            organization: Arc::clone(&organization.name),
            namespace: Arc::default(),
        };
        self.queues.organizations.push(&tenant, organization);
    }

    /// Enqueues a credential record, which is swept if its key is deleted.
    pub fn enqueue_verifier(&self, verifier: &Verifier) {
        if let Some(owner) = &verifier.owner {
            self.push_verifier(&owner.namespace, &verifier.name_any());
        }
    }

    /// Enqueues the credential record of a deleted key.
    pub fn enqueue_verifier_of(&self, apikey: &Identity) {
        let namespace = apikey.namespace.as_deref().unwrap_or_default();
        self.push_verifier(namespace, &names::record_secret(&apikey.uid));
    }

    fn push_verifier(&self, namespace: &str, name: &str) {
        let verifier = ObjectName::within(&self.namespace, name);
        let tenant = Tenant {
            organization: Arc::default(),
            namespace: namespace.into(),
        };
        self.queues.verifiers.push(&tenant, verifier);
    }

    /// Stores the response to a status write.
    pub fn record_apikey(&self, generation: ListGeneration, mut apikey: ApiKey) {
        apikey.prune();
        let org = apikey.spec.org.clone();
        let changed = {
            // Hold the lock around both, so that a deletion that the watch delivers in between is
            // applied after both.
            let mut quota_index = self.quota_index.lock();
            if !self.caches.apikeys.record(generation, apikey.clone()) {
                return;
            }
            quota_index.upsert(&apikey)
        };
        for key in &changed {
            self.enqueue(key);
        }
        self.recount.add(&org);
    }

    /// Whether the cache has a key of this name and uid.
    pub fn knows(&self, apikey: &ApiKey) -> bool {
        let known = self.caches.apikeys.get(&ObjectRef::from_obj(apikey));
        known.is_some_and(|known| known.metadata.uid == apikey.metadata.uid)
    }

    /// Forgets what was remembered of a deleted key.
    pub fn forget_apikey(&self, apikey: &Identity) {
        let key = object_key::<ApiKey>(apikey.namespace.as_deref(), &apikey.name);
        self.failures.clear(&key);
        self.replacements.forget(&apikey.uid);
        self.reports.forget(&apikey.uid);
    }

    /// Forgets what was remembered while this process led.
    pub fn forget_term(&self) {
        self.recount.close();
        self.failures.clear_all();
        self.chatter.clear();
        self.replacements.clear();
        self.reports.clear();
    }

    /// The newest pepper ring.
    ///
    /// # Errors
    /// There is none yet.
    pub fn pepper_ring(&self) -> Result<Arc<PepperRing>, Error> {
        #[derive(Debug, thiserror::Error)]
        #[error("the pepper ring is not there yet")]
        struct Missing;
        self.peppers
            .ring()
            .ok_or_else(|| Error::internal("fingerprint the secret", &Missing))
    }
}
