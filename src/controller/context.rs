//! What all controllers share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::api::{GetParams, PostParams};
use kube::core::{self, PartialObjectMeta};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use parking_lot::Mutex;

use super::apikey::delivered::Delivered;
use super::apikey::plan::Settings;
use super::apikey::reported::Reports;
use super::cache::{Cache, Ticket};
use super::chatter::Chatter;
use super::events::Events;
use super::keyrings::Slot;
use super::queue::{ObjectName, Queue};
use super::relations::Relations;
use super::turns::Tenant;
use crate::api::{ApiKey, Organization, names};
use crate::audit::log::AuditLog;
use crate::client::WatchClients;
use crate::clock::Clock;
use crate::credential::fingerprint::PepperRing;
use crate::credential::signing::{RotationPolicy, SigningRing};
use crate::credential::{Hasher, Stock};
use crate::error::{Class, Error, request};
use crate::metrics::Metrics;
use crate::object::{Answer, Decode, Identity, NamespaceLabels};
use crate::watch::Keep as _;
use crate::watch::roster::{KeyRef, Roster};
use crate::watch::stored::Verifier;
use crate::watch::watched::Watched;

/// Parameters of every create and update: our field manager.
#[must_use]
pub fn post_params() -> PostParams {
    PostParams {
        field_manager: Some(names::FIELD_MANAGER.into()),
        ..PostParams::default()
    }
}

/// Clients, caches, queues and the little state that is kept in memory only.
#[derive(Debug)]
pub struct Context {
    /// For writes, and for the rare reads.
    pub client: DebugClient,
    /// For watches.
    pub watch_clients: WatchClients,
    /// Namespace of the operator.
    pub namespace: String,
    /// The namespaces whose keys are looked after.
    pub watched: Watched,
    /// Settings that decisions depend on.
    pub settings: Settings,
    /// The time.
    pub clock: Clock,
    /// Makes hashes.
    pub hasher: Arc<Hasher>,
    /// Secrets for new keys.
    pub stock: Arc<Stock>,
    /// Makes fingerprints; there once the ring is.
    pub peppers: Slot<PepperRing>,
    /// Keys that sign tokens. The token server uses them; the controller keeps them.
    pub signing_keys: Slot<SigningRing>,
    /// What new signing keys are, and when there is one.
    pub rotation: RotationPolicy,
    /// What the watches deliver.
    pub caches: Caches,
    /// Keys by organization.
    pub roster: Mutex<Roster>,
    /// Organizations by id and parent.
    pub relations: Mutex<Relations>,
    /// What is to be reconciled.
    pub queues: Queues,
    /// Organizations whose number of keys changed; see [`super::organization::flush`].
    pub recount: Mutex<BTreeSet<String>>,
    /// Failures in a row, per object.
    pub failures: Failures,
    /// How much is said of each object.
    pub chatter: Chatter,
    /// When secrets were replaced lately, per key.
    pub replacements: Mutex<BTreeMap<KeyRef, Vec<Timestamp>>>,
    /// What Events and audit lines last said of each key.
    pub reports: Reports,
    /// Takes Events.
    pub events: Events,
    /// Takes audit lines.
    pub audit: AuditLog,
    /// Counts.
    pub metrics: Metrics,
}

/// A client, with the `Debug` that it lacks.
#[derive(Clone)]
pub struct DebugClient(pub Client);

impl std::fmt::Debug for DebugClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

/// What the watches deliver, one cache per kind.
#[derive(Debug, Default)]
pub struct Caches {
    /// All keys.
    pub apikeys: Cache<ApiKey>,
    /// All organizations.
    pub organizations: Cache<Organization>,
    /// Labels of all namespaces.
    pub namespaces: Cache<NamespaceLabels>,
    /// What is needed of the metadata of all delivered Secrets.
    pub delivered: Cache<Delivered>,
    /// All verifiers.
    pub verifiers: Cache<Verifier>,
}

/// What is to be reconciled, one queue per controller.
#[derive(Debug, Default)]
pub struct Queues {
    /// Keys.
    pub apikeys: Queue,
    /// Organizations.
    pub organizations: Queue,
    /// Verifiers, to be swept if their key is gone.
    pub verifiers: Queue,
}

impl Queues {
    /// Closes all of them: nothing new begins.
    pub fn close(&self) {
        self.apikeys.close();
        self.organizations.close();
        self.verifiers.close();
    }
}

/// Counts failures of one class in a row, to wait ever longer.
#[derive(Debug, Default)]
pub struct Failures(Mutex<BTreeMap<String, Row>>);

/// Failures in a row.
#[derive(Debug)]
struct Row {
    /// [`Class::as_str`].
    class: &'static str,
    count: u32,
}

/// Longest wait after a failure that may pass without a word, such as a policy that somebody removes.
const RECOVERED_WITHIN: Duration = Duration::from_secs(25);
/// Waits after the first failure, and at most.
const TRANSIENT_WAIT: (Duration, Duration) = (Duration::from_millis(200), RECOVERED_WITHIN);
const CONFLICT_WAIT: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(5));
const REFUSED_WAIT: (Duration, Duration) = (Duration::from_secs(2), RECOVERED_WITHIN);
const BUG_WAIT: (Duration, Duration) = (Duration::from_secs(10), Duration::from_mins(10));

impl Failures {
    /// Forgets the failures of an object.
    pub fn clear(&self, object: &str) {
        self.0.lock().remove(object);
    }

    /// Counts one failure more and returns how long to wait.
    pub fn wait(&self, object: &str, class: Class) -> Duration {
        let (first, most) = match class {
            Class::Throttled(asked) => (asked, asked.max(TRANSIENT_WAIT.1)),
            Class::Conflict => CONFLICT_WAIT,
            Class::Transient => TRANSIENT_WAIT,
            Class::Forbidden | Class::Rejected => REFUSED_WAIT,
            Class::Bug => BUG_WAIT,
        };
        let mut failures = self.0.lock();
        let class = class.as_str();
        let before = failures.get(object).filter(|row| row.class == class);
        let count = before.map_or(0, |row| row.count);
        let row = Row {
            class,
            count: count.saturating_add(1),
        };
        failures.insert(object.to_owned(), row);
        let grown = first.saturating_mul(1 << count.min(16)).min(most);
        // Spread by name, so that a thousand objects that fail together do not retry together.
        let spread = u64::from(crc32fast::hash(object.as_bytes())) % 256;
        let spread = u32::try_from(spread).unwrap_or_default();
        grown.saturating_sub(grown * spread / 1024)
    }
}

impl Context {
    /// The keys of a namespace.
    #[must_use]
    pub fn apikeys_in(&self, namespace: &str) -> Api<Answer<ApiKey>> {
        Api::namespaced(self.client.0.clone(), namespace)
    }

    /// The key of this name and uid, if the API server (no cache) has it.
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

    /// Metadata of an object, read from the API server.
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

    /// The verifiers, without metadata that nobody needs.
    #[must_use]
    pub fn verifiers(&self) -> Api<Answer<Secret>> {
        Api::namespaced(self.client.0.clone(), &self.namespace)
    }

    /// Has a key reconciled.
    pub fn enqueue(&self, key: &KeyRef) {
        let organization = self.roster.lock().counted_by(key);
        let tenant = Tenant {
            organization: organization.unwrap_or_default(),
            namespace: Arc::clone(&key.namespace),
        };
        self.queues.apikeys.push(&tenant, key.into());
    }

    /// Has an organization reconciled.
    pub fn enqueue_organization(&self, name: &str) {
        let organization = ObjectName::of_cluster(name);
        let tenant = Tenant {
            organization: Arc::clone(&organization.name),
            namespace: Arc::default(),
        };
        self.queues.organizations.push(&tenant, organization);
    }

    /// Has a verifier looked at, which is swept if its key is gone.
    pub fn enqueue_verifier(&self, verifier: &Verifier) {
        if let Some(owner) = &verifier.owner {
            self.push_verifier(&owner.namespace, &verifier.name_any());
        }
    }

    /// Has the verifier of a deleted key looked at.
    pub fn enqueue_verifier_of(&self, apikey: &Identity) {
        let namespace = apikey.namespace.as_deref().unwrap_or_default();
        self.push_verifier(namespace, &names::verifier_secret(&apikey.uid));
    }

    fn push_verifier(&self, namespace: &str, name: &str) {
        let verifier = ObjectName::within(&self.namespace, name);
        let tenant = Tenant {
            organization: Arc::default(),
            namespace: namespace.into(),
        };
        self.queues.verifiers.push(&tenant, verifier);
    }

    /// Takes in the answer of a status write.
    pub fn record_apikey(&self, ticket: Ticket, mut apikey: ApiKey) {
        apikey.prune();
        let org = apikey.spec.org.clone();
        let changed = {
            // Locked around both, so that a deletion that the watch tells of meanwhile comes after both.
            let mut roster = self.roster.lock();
            if !self.caches.apikeys.record(ticket, apikey.clone()) {
                return;
            }
            roster.upsert(&apikey)
        };
        for key in &changed {
            self.enqueue(key);
        }
        self.recount.lock().insert(org);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_are_forgotten_after_success() {
        let failures = Failures::default();
        let waits: Vec<_> = (0..30)
            .map(|_| failures.wait("a", Class::Transient))
            .collect();
        assert!(waits.is_sorted() && waits[29] <= TRANSIENT_WAIT.1 && waits[29] > waits[0] * 100);
        failures.clear("a");
        assert_eq!(failures.wait("a", Class::Transient), waits[0]);
        let asked = Duration::from_secs(90);
        assert!(failures.wait("b", Class::Throttled(asked)) >= asked * 3 / 4);
    }

    #[test]
    fn whatever_refuses_a_write_it_is_tried_again_within_half_a_minute() {
        for class in [Class::Rejected, Class::Forbidden, Class::Transient] {
            let failures = Failures::default();
            let waits = (0..100).map(|_| failures.wait("a", class));
            assert!(waits.max() <= Some(RECOVERED_WITHIN), "{class:?}");
        }
    }

    #[test]
    fn a_refusal_by_an_api_server_that_is_just_back_waits_no_longer_than_a_first_one() {
        let failures = Failures::default();
        let first = failures.wait("a", Class::Forbidden);
        failures.clear("a");
        for _ in 0..10 {
            failures.wait("a", Class::Transient);
        }
        assert_eq!(failures.wait("a", Class::Forbidden), first);
        assert!(failures.wait("a", Class::Forbidden) > first);
    }
}
