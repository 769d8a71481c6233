//! The in-memory index of all keys: watches update it, and every request reads it.
//!
//! The watches update its state, [`apikey_policy::assess`] decides what each key may do, and the
//! index publishes one immutable [`Credential`] per key. A request takes a read lock for one
//! look-up. A list in progress removes nothing until it is complete, so that requests never see a
//! partial list.

mod credential;
mod id_claims;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use parking_lot::{Mutex, RwLock};

pub use self::credential::{Credential, Evidence, Key, Proof, Standing};
use self::id_claims::IdClaims;
use crate::watch::event::Event;
use crate::watch::relist::{Relist, Update};
use crate::watch::scope::WatchScope;
use crate::watch::stored::StoredRecord;
use apikey_api::KeyRef;
use apikey_api::{ApiKey, Organization, names};
use apikey_client::object::{Identity, NamespaceLabels};
use apikey_credential::KeyId;
use apikey_credential::fingerprint::PepperRing;
use apikey_policy::quota_index::{Labels, QuotaIndex};

/// The in-memory index of all keys.
#[derive(Debug)]
pub struct Index {
    state: Mutex<State>,
    published: RwLock<BTreeMap<KeyId, Arc<Credential>>>,
    peppers: RwLock<Option<Arc<PepperRing>>>,
    /// The argon2id hash of some key that only argon2id can check, if there is such a key.
    dummy_hash: RwLock<Option<Arc<str>>>,
}

/// The objects that the watches delivered.
#[derive(Debug)]
struct State {
    require_organizations: bool,
    keys: BTreeMap<KeyRef, Key>,
    /// By uid of the `ApiKey`.
    evidence: BTreeMap<Arc<str>, Arc<Evidence>>,
    id_claims: IdClaims,
    organizations: BTreeMap<String, Declared>,
    quota_index: QuotaIndex,
    listed_keys: BTreeMap<WatchScope, Relist<KeyRef>>,
    listed_records: Relist<Arc<str>>,
    listed_organizations: Relist<String>,
    listed_namespaces: BTreeMap<WatchScope, Relist<String>>,
    /// Keys that only argon2id can check, by uid, with one hash of each.
    argon2_only: BTreeMap<Arc<str>, Arc<str>>,
}

/// An Organization that exists.
#[derive(Clone, Debug)]
enum Declared {
    Readable(Arc<Organization>),
    Unreadable,
}

impl Declared {
    const fn readable(&self) -> Option<&Arc<Organization>> {
        match self {
            Self::Readable(organization) => Some(organization),
            Self::Unreadable => None,
        }
    }
}

impl Index {
    /// Creates an index without keys.
    #[must_use]
    pub fn new(require_organizations: bool) -> Self {
        let state = State {
            require_organizations,
            keys: BTreeMap::new(),
            evidence: BTreeMap::new(),
            id_claims: IdClaims::default(),
            organizations: BTreeMap::new(),
            quota_index: QuotaIndex::default(),
            listed_keys: BTreeMap::new(),
            listed_records: Relist::default(),
            listed_organizations: Relist::default(),
            listed_namespaces: BTreeMap::new(),
            argon2_only: BTreeMap::new(),
        };
        Self {
            state: Mutex::new(state),
            published: RwLock::default(),
            peppers: RwLock::default(),
            dummy_hash: RwLock::default(),
        }
    }

    /// The key with this id.
    #[must_use]
    pub fn get(&self, id: &KeyId) -> Option<Arc<Credential>> {
        self.published.read().get(id).cloned()
    }

    /// The key with this id or, if there is none, another key, so that both cases take the same
    /// time. `None` if there is no key at all.
    #[must_use]
    pub fn nearest(&self, id: &KeyId) -> Option<Arc<Credential>> {
        let published = self.published.read();
        let from = published.range(id..).next();
        from.or_else(|| published.iter().next())
            .map(|(_, credential)| Arc::clone(credential))
    }

    /// Number of keys that have a secret.
    #[must_use]
    pub fn len(&self) -> usize {
        self.published.read().len()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of keys that only argon2id can check, because their pepper is lost.
    #[must_use]
    pub fn argon2_only(&self) -> usize {
        self.state.lock().argon2_only.len()
    }

    /// Number of keys that are refused because an earlier key owns their id.
    #[must_use]
    pub fn refused_ids(&self) -> usize {
        self.state.lock().id_claims.refused()
    }

    /// The peppers, if there are any.
    #[must_use]
    pub fn peppers(&self) -> Option<Arc<PepperRing>> {
        self.peppers.read().clone()
    }

    /// The hash that the secret of an unknown key is checked against, so that it costs as much as a
    /// wrong secret of a known key can cost. `None` while no key needs argon2id.
    #[must_use]
    pub fn dummy_hash(&self) -> Option<Arc<str>> {
        self.dummy_hash.read().clone()
    }

    /// When the key was last used, according to its status.
    #[must_use]
    pub fn last_used_at(&self, key: &KeyRef) -> Option<Timestamp> {
        self.state.lock().keys.get(key)?.last_used_at
    }

    /// Applies an event of the ApiKey watch of this scope. Keys in other scopes do not change. A
    /// key that can't be read is refused, like a deleted one.
    pub fn apikey(&self, scope: &WatchScope, event: Event<ApiKey>) {
        let state = &mut *self.state.lock();
        let listed = state.listed_keys.entry(scope.clone()).or_default();
        match listed.take(event, |identity| KeyRef::from(identity)) {
            Update::Nothing => {}
            Update::Put(apikey) => self.upsert(state, &apikey),
            Update::Unreadable(identity) | Update::Gone(identity) => {
                self.remove(state, &KeyRef::from(&identity));
            }
            Update::Complete => {
                let known = state.keys.keys().filter(|key| scope.has(&key.namespace));
                for gone in listed.gone(known) {
                    self.remove(state, &gone);
                }
            }
        }
    }

    /// Applies an event of the Organization watch. An Organization that can't be read still counts
    /// as declared, and its keys are refused.
    pub fn organization(&self, event: Event<Organization>) {
        let state = &mut *self.state.lock();
        let name = |identity: &Identity| identity.name.to_string();
        match state.listed_organizations.take(event, name) {
            Update::Nothing => {}
            Update::Put(declared) => {
                let name = declared.name_any();
                self.declare(state, &name, Some(Declared::Readable(Arc::new(declared))));
            }
            Update::Unreadable(identity) => {
                self.declare(state, &identity.name, Some(Declared::Unreadable));
            }
            Update::Gone(identity) => self.declare(state, &identity.name, None),
            Update::Complete => {
                let known = state.organizations.keys();
                for gone in state.listed_organizations.gone(known) {
                    self.declare(state, &gone, None);
                }
            }
        }
    }

    /// Applies an event of the namespace watch of this scope.
    pub fn namespace(&self, scope: &WatchScope, event: Event<NamespaceLabels>) {
        let state = &mut *self.state.lock();
        let listed = state.listed_namespaces.entry(scope.clone()).or_default();
        match listed.take(event, |identity| identity.name.to_string()) {
            Update::Nothing => {}
            Update::Put(namespace) => {
                self.label(state, &namespace.name, Some(namespace.labels));
            }
            Update::Unreadable(identity) | Update::Gone(identity) => {
                self.label(state, &identity.name, None);
            }
            Update::Complete => {
                let known = state.quota_index.namespaces();
                let known = known.iter().filter(|name| scope.has(name));
                for gone in listed.gone(known) {
                    self.label(state, &gone, None);
                }
            }
        }
    }

    /// Applies an event of the watch of credential records. If a record can't be read, the last
    /// known one stays in use, so that no valid secret is refused. This is safe because only
    /// administrators of the operator write them.
    pub fn record(&self, event: Event<StoredRecord>) {
        let state = &mut *self.state.lock();
        match state
            .listed_records
            .take(event, |identity| uid_of(&identity.name))
        {
            Update::Nothing => {}
            Update::Put(record) => self.apply_record(state, record),
            Update::Unreadable(identity) => {
                tracing::error!(verifier = %identity.name,
                    "Ignoring a credential record that can't be read");
            }
            Update::Gone(identity) => self.remove_record(state, &uid_of(&identity.name)),
            Update::Complete => {
                let known = state.evidence.keys();
                for gone in state.listed_records.gone(known) {
                    self.remove_record(state, &gone);
                }
            }
        }
    }

    /// Replaces the pepper ring.
    pub fn use_peppers(&self, ring: PepperRing) {
        let mut state = self.state.lock();
        *self.peppers.write() = Some(Arc::new(ring));
        let all: Vec<_> = state
            .evidence
            .iter()
            .map(|(uid, evidence)| (Arc::clone(uid), Arc::clone(evidence)))
            .collect();
        for (uid, evidence) in all {
            self.note_path(&mut state, uid, &evidence);
        }
    }

    fn upsert(&self, state: &mut State, apikey: &ApiKey) {
        let reference = KeyRef::of(apikey);
        let mut concerned = state.quota_index.upsert(apikey);
        let key = Key::of(apikey);
        match state.keys.get_mut(&reference) {
            Some(known) if known.decides_like(&key) => known.last_used_at = key.last_used_at,
            known => {
                if let Some(known) = known
                    && known.uid != key.uid
                {
                    let uid = Arc::clone(&known.uid);
                    self.unpublish(state, &uid);
                }
                state.keys.insert(reference.clone(), key);
                concerned.push(reference);
            }
        }
        for key in &concerned {
            self.publish(state, key);
        }
    }

    fn remove(&self, state: &mut State, reference: &KeyRef) {
        let Some(key) = state.keys.remove(reference) else {
            return;
        };
        self.unpublish(state, &key.uid);
        for concerned in state.quota_index.remove(reference) {
            self.publish(state, &concerned);
        }
    }

    fn declare(&self, state: &mut State, name: &str, declared: Option<Declared>) {
        let organization = declared.as_ref().and_then(Declared::readable).cloned();
        match declared {
            Some(declared) => {
                let known = state.organizations.insert(name.to_owned(), declared);
                let known = known.as_ref().and_then(Declared::readable);
                if let (Some(known), Some(now)) = (known, &organization)
                    && known.spec == now.spec
                {
                    return;
                }
            }
            None => drop(state.organizations.remove(name)),
        }
        for key in state.quota_index.declare(name, organization) {
            self.publish(state, &key);
        }
    }

    fn label(&self, state: &mut State, namespace: &str, labels: Option<Labels>) {
        for key in state.quota_index.label(namespace, labels) {
            self.publish(state, &key);
        }
    }

    fn apply_record(&self, state: &mut State, record: StoredRecord) {
        let uid = uid_of(record.metadata.name.as_deref().unwrap_or_default());
        match record.document {
            Ok(document) if *document.owner.uid == *uid => {
                let owner = KeyRef::new(&document.owner.namespace, &document.owner.name);
                let evidence = Arc::new(Evidence::of(&document));
                let known = state.keys.get(&owner).map(|key| &key.uid);
                let uid = known.filter(|known| **known == uid).cloned().unwrap_or(uid);
                self.claim(state, &uid, &evidence);
                self.note_path(state, Arc::clone(&uid), &evidence);
                state.evidence.insert(uid, evidence);
                self.publish(state, &owner);
            }
            Ok(_) => tracing::error!(%uid, "Ignoring a credential record that names another owner"),
            Err(error) => tracing::error!(%uid, %error,
                "Ignoring a credential record that can't be read: restore it from a backup, or delete \
                 it to mint a new secret"),
        }
    }

    /// Registers the claim of this credential record to its id. It takes the id only from a later
    /// record.
    fn claim(&self, state: &mut State, uid: &Arc<str>, evidence: &Evidence) {
        let known = state.evidence.get(uid);
        if known.is_some_and(|known| known.claim(uid) != evidence.claim(uid)) {
            self.remove_record(state, uid);
        }
        let id = &evidence.key_id;
        state.id_claims.add(evidence.claim(uid));
        let Some(winner) = state.id_claims.winner(id).filter(|winner| *winner != uid) else {
            // Remove the key that a later record published under this id.
            let mut published = self.published.write();
            if published
                .get(id)
                .is_some_and(|credential| credential.uid != *uid)
            {
                published.remove(id);
            }
            return;
        };
        tracing::error!(key_id = %id, %uid, %winner,
            "Refusing a key because an earlier key has the same id: delete its credential record to \
             mint a new id and secret");
    }

    fn remove_record(&self, state: &mut State, uid: &str) {
        self.unpublish(state, uid);
        if let Some(evidence) = state.evidence.remove(uid) {
            let successor = state.id_claims.remove(&evidence.claim(&uid.into()));
            let successor =
                successor.and_then(|uid| state.keys.iter().find(|(_, key)| key.uid == uid));
            if let Some(successor) = successor.map(|(reference, _)| reference.clone()) {
                self.publish(state, &successor);
            }
        }
        if state.argon2_only.remove(uid).is_some() {
            *self.dummy_hash.write() = state.argon2_only.values().next().cloned();
        }
    }

    /// Takes the key with this uid out of service.
    fn unpublish(&self, state: &mut State, uid: &str) {
        let Some(evidence) = state.evidence.get(uid) else {
            return;
        };
        let mut published = self.published.write();
        let ours = published.get(&evidence.key_id);
        if ours.is_some_and(|credential| *credential.uid == *uid) {
            published.remove(&evidence.key_id);
        }
    }

    /// Decides what the key may do and publishes it.
    fn publish(&self, state: &mut State, reference: &KeyRef) {
        // Use the names of the stored key, which all its holders share, instead of equal copies.
        let Some((reference, key)) = state.keys.get_key_value(reference) else {
            return;
        };
        let Some(evidence) = state.evidence.get(&key.uid) else {
            return;
        };
        if state.id_claims.winner(&evidence.key_id) != Some(&key.uid) {
            return;
        }
        let organization = |name: &str| state.organizations.get(name)?.readable();
        let own = organization(&key.org);
        let parent_name = own.and_then(|own| own.spec.parent.as_deref());
        let parent = parent_name.and_then(organization);
        let is_unreadable = |name: &&str| {
            let known = state.organizations.get(*name);
            known.is_some_and(|known| known.readable().is_none())
        };
        let listed = key.sub_orgs.iter();
        let sub_organizations: Vec<_> = listed
            .filter_map(|sub| organization(&sub.org).cloned())
            .collect();
        let assessment = apikey_policy::assess(&apikey_policy::Input {
            subject: key.subject(&reference.namespace),
            organization: own.map(|own| &**own),
            parent: parent.map(|parent| &**parent),
            unreadable: std::iter::once(&*key.org)
                .chain(parent_name)
                .find(is_unreadable),
            sub_organizations: &sub_organizations,
            namespace_labels: state.quota_index.labels(&reference.namespace).as_deref(),
            over_quota: state.quota_index.over_quota(reference).as_ref(),
            fixed_expiry: Some(evidence.expires_at),
            require_organizations: state.require_organizations,
        });
        let parent_org = own.and_then(|own| own.spec.parent.as_deref());
        let credential = Credential::new(reference, key, evidence, parent_org, assessment);
        let id = evidence.key_id.clone();
        self.published.write().insert(id, Arc::new(credential));
    }

    /// Records whether only argon2id can check a key.
    fn note_path(&self, state: &mut State, uid: Arc<str>, evidence: &Evidence) {
        let ring = self.peppers.read().clone();
        let lost = evidence.proofs.iter().find(|proof| {
            proof.fingerprint.is_none() || !ring.as_ref().is_some_and(|r| r.has(&proof.pepper_id))
        });
        match lost {
            Some(proof) => {
                let hash = Arc::clone(&proof.hash);
                state.argon2_only.insert(uid, hash);
            }
            None => drop(state.argon2_only.remove(&uid)),
        }
        *self.dummy_hash.write() = state.argon2_only.values().next().cloned();
    }
}

/// uid of the `ApiKey` that owns the credential record of this name.
fn uid_of(record: &str) -> Arc<str> {
    names::record_owner_uid(record).unwrap_or_default().into()
}
