//! All keys in memory, as the endpoint needs them: fed by watches, read by every request.
//!
//! The watches put what they see into its state, which decides by [`policy::assess`] what each key
//! may do and publishes one immutable [`Credential`] per key. A request takes a read lock for one
//! look-up. A list that is under way removes nothing before it is complete, so a half-listed state
//! is never served.

mod credential;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Event;
use parking_lot::{Mutex, RwLock};

pub use self::credential::{Credential, Evidence, Key, Proof, Standing};
use crate::api::{ApiKey, Organization, names};
use crate::credential::KeyId;
use crate::credential::fingerprint::PepperRing;
use crate::policy;
use crate::watch::relist::{Relist, Step};
use crate::watch::roster::{KeyRef, Roster};
use crate::watch::stored::Verifier;
use crate::watch::watched::Part;

/// All keys in memory.
#[derive(Debug)]
pub struct Index {
    state: Mutex<State>,
    published: RwLock<BTreeMap<KeyId, Arc<Credential>>>,
    peppers: RwLock<Option<Arc<PepperRing>>>,
    /// The argon2id hash of some key that only argon2id can check, if there is such a key.
    decoy: RwLock<Option<Arc<str>>>,
}

/// What the watches have delivered.
#[derive(Debug)]
struct State {
    require_organizations: bool,
    keys: BTreeMap<KeyRef, Key>,
    /// By uid of the `ApiKey`.
    verifiers: BTreeMap<Arc<str>, Arc<Evidence>>,
    organizations: BTreeMap<String, Arc<Organization>>,
    roster: Roster,
    listed_keys: BTreeMap<Part, Relist<KeyRef>>,
    listed_verifiers: Relist<Arc<str>>,
    listed_organizations: Relist<String>,
    listed_namespaces: BTreeMap<Part, Relist<String>>,
    /// Verifiers of keys that only argon2id can check, by uid, with one hash of each.
    argon2_only: BTreeMap<Arc<str>, Arc<str>>,
}

impl Index {
    /// Without keys yet.
    #[must_use]
    pub fn new(require_organizations: bool) -> Self {
        let state = State {
            require_organizations,
            keys: BTreeMap::new(),
            verifiers: BTreeMap::new(),
            organizations: BTreeMap::new(),
            roster: Roster::default(),
            listed_keys: BTreeMap::new(),
            listed_verifiers: Relist::default(),
            listed_organizations: Relist::default(),
            listed_namespaces: BTreeMap::new(),
            argon2_only: BTreeMap::new(),
        };
        Self {
            state: Mutex::new(state),
            published: RwLock::default(),
            peppers: RwLock::default(),
            decoy: RwLock::default(),
        }
    }

    /// The key with this id.
    #[must_use]
    pub fn get(&self, id: &KeyId) -> Option<Arc<Credential>> {
        self.published.read().get(id).cloned()
    }

    /// The key with this id or, where there is none, another one: so that both cost the same work.
    /// `None` if there is no key at all.
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

    /// The peppers, if there are any.
    #[must_use]
    pub fn peppers(&self) -> Option<Arc<PepperRing>> {
        self.peppers.read().clone()
    }

    /// The hash against which the secret of an unknown key is checked, so that it costs what a wrong
    /// secret of a known key may cost; `None` while no key needs argon2id.
    #[must_use]
    pub fn decoy(&self) -> Option<Arc<str>> {
        self.decoy.read().clone()
    }

    /// When the key was last used, as its status says.
    #[must_use]
    pub fn last_used_at(&self, key: &KeyRef) -> Option<Timestamp> {
        self.state.lock().keys.get(key)?.last_used_at
    }

    /// Takes in what the watch of a part of all ApiKeys saw. What is in other parts stays.
    pub fn apikey(&self, part: &Part, event: Event<ApiKey>) {
        let state = &mut *self.state.lock();
        let listed = state.listed_keys.entry(part.clone()).or_default();
        match listed.take(event, KeyRef::of) {
            Step::Nothing => {}
            Step::Put(apikey) => self.upsert(state, &apikey),
            Step::Gone(apikey) => self.remove(state, &KeyRef::of(&apikey)),
            Step::Complete => {
                let known = state.keys.keys().filter(|key| part.has(&key.namespace));
                for gone in listed.gone(known) {
                    self.remove(state, &gone);
                }
            }
        }
    }

    /// Takes in what the watch of Organizations saw.
    pub fn organization(&self, event: Event<Organization>) {
        let state = &mut *self.state.lock();
        match state
            .listed_organizations
            .take(event, Organization::name_any)
        {
            Step::Nothing => {}
            Step::Put(declared) => self.declare(state, &declared.name_any(), Some(declared)),
            Step::Gone(old) => self.declare(state, &old.name_any(), None),
            Step::Complete => {
                let known = state.organizations.keys();
                for gone in state.listed_organizations.gone(known) {
                    self.declare(state, &gone, None);
                }
            }
        }
    }

    /// Takes in what the watch of a part of all namespaces saw.
    pub fn namespace(&self, part: &Part, event: Event<PartialObjectMeta<Namespace>>) {
        let state = &mut *self.state.lock();
        let listed = state.listed_namespaces.entry(part.clone()).or_default();
        match listed.take(event, ResourceExt::name_any) {
            Step::Nothing => {}
            Step::Put(namespace) => {
                let name = namespace.name_any();
                let labels = namespace.metadata.labels.unwrap_or_default();
                self.label(state, &name, Some(labels));
            }
            Step::Gone(namespace) => self.label(state, &namespace.name_any(), None),
            Step::Complete => {
                let known = state.roster.namespaces();
                let known = known.iter().filter(|name| part.has(name));
                for gone in listed.gone(known) {
                    self.label(state, &gone, None);
                }
            }
        }
    }

    /// Takes in what the watch of verifiers saw. One that can't be read leaves what was known of its
    /// key, so that nothing valid is refused.
    pub fn verifier(&self, event: Event<Verifier>) {
        let state = &mut *self.state.lock();
        match state.listed_verifiers.take(event, uid_of) {
            Step::Nothing => {}
            Step::Put(verifier) => self.prove(state, verifier),
            Step::Gone(verifier) => self.forget(state, &uid_of(&verifier)),
            Step::Complete => {
                let known = state.verifiers.keys();
                for gone in state.listed_verifiers.gone(known) {
                    self.forget(state, &gone);
                }
            }
        }
    }

    /// Takes in a pepper ring.
    pub fn use_peppers(&self, ring: PepperRing) {
        let mut state = self.state.lock();
        *self.peppers.write() = Some(Arc::new(ring));
        let all: Vec<_> = state
            .verifiers
            .iter()
            .map(|(uid, evidence)| (Arc::clone(uid), Arc::clone(evidence)))
            .collect();
        for (uid, evidence) in all {
            self.note_path(&mut state, uid, &evidence);
        }
    }

    fn upsert(&self, state: &mut State, apikey: &ApiKey) {
        let reference = KeyRef::of(apikey);
        let mut concerned = state.roster.upsert(apikey);
        let key = Key::of(apikey);
        match state.keys.get_mut(&reference) {
            Some(known) if known.decides_like(&key) => known.last_used_at = key.last_used_at,
            known => {
                if let Some(known) = known
                    && known.uid != key.uid
                {
                    let uid = Arc::clone(&known.uid);
                    self.withdraw(state, &uid);
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
        self.withdraw(state, &key.uid);
        for concerned in state.roster.remove(reference) {
            self.publish(state, &concerned);
        }
    }

    fn declare(&self, state: &mut State, name: &str, organization: Option<Organization>) {
        let organization = organization.map(Arc::new);
        match &organization {
            Some(declared) => {
                let known = state.organizations.get(name);
                if known.is_some_and(|known| known.spec == declared.spec) {
                    return;
                }
                let declared = Arc::clone(declared);
                state.organizations.insert(name.to_owned(), declared);
            }
            None => drop(state.organizations.remove(name)),
        }
        for key in state.roster.declare(name, organization) {
            self.publish(state, &key);
        }
    }

    fn label(&self, state: &mut State, namespace: &str, labels: Option<BTreeMap<String, String>>) {
        for key in state.roster.label(namespace, labels) {
            self.publish(state, &key);
        }
    }

    fn prove(&self, state: &mut State, verifier: Verifier) {
        let uid = uid_of(&verifier);
        match verifier.document {
            Ok(document) if *document.owner.uid == *uid => {
                let owner = KeyRef::new(&document.owner.namespace, &document.owner.name);
                let evidence = Arc::new(Evidence::of(&document));
                let known = state.keys.get(&owner).map(|key| &key.uid);
                let uid = known.filter(|known| **known == uid).cloned().unwrap_or(uid);
                self.note_path(state, Arc::clone(&uid), &evidence);
                state.verifiers.insert(uid, evidence);
                self.publish(state, &owner);
            }
            Ok(_) => tracing::error!(%uid, "Ignoring a verifier that names another owner"),
            Err(error) => tracing::error!(%uid, %error,
                "Ignoring a verifier that can't be read: restore it, or delete it to make a new \
                 secret"),
        }
    }

    fn forget(&self, state: &mut State, uid: &str) {
        self.withdraw(state, uid);
        state.verifiers.remove(uid);
        if state.argon2_only.remove(uid).is_some() {
            *self.decoy.write() = state.argon2_only.values().next().cloned();
        }
    }

    /// Takes the key with this uid out of service.
    fn withdraw(&self, state: &mut State, uid: &str) {
        let Some(evidence) = state.verifiers.get(uid) else {
            return;
        };
        let mut published = self.published.write();
        let ours = published.get(&evidence.key_id);
        if ours.is_some_and(|credential| *credential.uid == *uid) {
            published.remove(&evidence.key_id);
        }
    }

    /// Decides about the key and publishes what it may do.
    fn publish(&self, state: &mut State, reference: &KeyRef) {
        // The names of the stored key, not equal ones: they are shared by all that hold them.
        let Some((reference, key)) = state.keys.get_key_value(reference) else {
            return;
        };
        let Some(evidence) = state.verifiers.get(&key.uid) else {
            return;
        };
        let organization = |name: &str| state.organizations.get(name);
        let own = organization(&key.org);
        let parent = own.and_then(|own| organization(own.spec.parent.as_deref()?));
        let listed = key.sub_orgs.iter();
        let sub_organizations: Vec<_> = listed
            .filter_map(|sub| organization(&sub.org).cloned())
            .collect();
        let assessment = policy::assess(&policy::Input {
            subject: key.subject(&reference.namespace),
            organization: own.map(|own| &**own),
            parent: parent.map(|parent| &**parent),
            sub_organizations: &sub_organizations,
            namespace_labels: &state.roster.labels(&reference.namespace),
            over_quota: state.roster.over_quota(reference).as_ref(),
            fixed_expiry: Some(evidence.expires_at),
            require_organizations: state.require_organizations,
        });
        let parent_org = own.and_then(|own| own.spec.parent.as_deref());
        let credential = Credential::new(reference, key, evidence, parent_org, assessment);
        let id = evidence.key_id.clone();
        self.published.write().insert(id, Arc::new(credential));
    }

    /// Notes whether only argon2id can check a key.
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
        *self.decoy.write() = state.argon2_only.values().next().cloned();
    }
}

/// uid of the `ApiKey` that the verifier belongs to by its name.
fn uid_of(verifier: &Verifier) -> Arc<str> {
    let name = verifier.metadata.name.as_deref().unwrap_or_default();
    names::verifier_owner_uid(name).unwrap_or_default().into()
}
