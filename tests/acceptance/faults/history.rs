//! Records every stored state of the Secrets and keys, and checks the invariants at each change. One watch has all
//! Secrets, so etcd orders their changes.
//!
//! The watches of the test have a client without faults. If a watch has a gap because the API server answers 410,
//! the run fails, because the states in the gap can't be checked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use apikey_api::{ApiKey, names};
use apikey_client::clock::Clock;
use apikey_credential::Secret;
use apikey_credential::fingerprint::PepperRing;
use apikey_credential::record::CredentialRecord;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret as CoreSecret;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt};
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::key_state::KeyState;
use crate::support::Scope;

/// The credential record remembers at most this many attempts.
const MAX_PENDING: usize = 4;

/// Sees the Secrets of the cluster and the keys of a namespace, until it is dropped.
pub(super) struct HistoryRecorder {
    records: Arc<Mutex<Recorded>>,
    _watches: JoinSet<()>,
}

impl HistoryRecorder {
    pub(super) fn start(scope: &Scope<'_>, clock: Clock) -> Self {
        let records = Recorded {
            namespace: scope.namespace.clone(),
            ..Recorded::default()
        };
        let records = Arc::new(Mutex::new(records));
        let mut watches = JoinSet::new();
        watches.spawn(follow(
            scope.keys(),
            Arc::clone(&records),
            Recorded::take_key,
        ));
        let secrets: Api<CoreSecret> = Api::all(scope.client.clone());
        let take = move |records: &mut Recorded, name: &str, secret: Option<CoreSecret>| {
            records.take_secret(name, secret, clock.now());
        };
        watches.spawn(follow(secrets, Arc::clone(&records), take));
        Self {
            records,
            _watches: watches,
        }
    }

    /// A key as it is stored.
    pub(super) fn key(&self, name: &str) -> Option<ApiKey> {
        self.records.lock().keys.get(name).cloned()
    }

    /// A key and what belongs to it, as it is stored.
    pub(super) fn state(&self, name: &str) -> KeyState {
        let records = self.records.lock();
        let uids = records.uids.get(name).into_iter().flatten();
        KeyState {
            key: records.keys.get(name).cloned(),
            secret: records.delivered.get(name).cloned(),
            credential_records: uids
                .filter_map(|uid| records.credential_records.get(uid).cloned())
                .collect(),
        }
    }

    /// Looks at everything that was recorded.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Recorded) -> T) -> T {
        look(&self.records.lock())
    }
}

/// Records every change of an object by its name: the object, or nothing after its deletion.
async fn follow<K>(
    api: Api<K>,
    records: Arc<Mutex<Recorded>>,
    take: impl Fn(&mut Recorded, &str, Option<K>),
) where
    K: Resource<DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + Send
        + 'static,
{
    let mut events = watcher(api, watcher::Config::default()).boxed();
    let mut lists = 0;
    let mut failure = String::new();
    while let Some(event) = events.next().await {
        let mut records = records.lock();
        match event {
            Ok(Event::Apply(object) | Event::InitApply(object)) => {
                take(&mut records, &object.name_any(), Some(object));
            }
            Ok(Event::Delete(object)) => take(&mut records, &object.name_any(), None),
            Ok(Event::Init) => lists += 1,
            Ok(Event::InitDone) if lists == 1 => {}
            Ok(Event::InitDone) => {
                let kind = K::kind(&());
                let gap = format!("the watch of the test for {kind} has a gap: {failure}");
                records.violation("", gap);
            }
            Err(error) => failure = error.to_string(),
        }
    }
}

/// Everything that was recorded.
#[derive(Default)]
pub(super) struct Recorded {
    namespace: String,
    pub(super) keys: BTreeMap<String, ApiKey>,
    /// By the uid of the key.
    pub(super) credential_records: BTreeMap<String, CredentialRecord>,
    /// uids of keys by name.
    uids: BTreeMap<String, BTreeSet<String>>,
    /// By name.
    pub(super) delivered: BTreeMap<String, CoreSecret>,
    ring: Option<PepperRing>,
    /// Values that were delivered for a key, by its public id and their number.
    values: BTreeMap<(String, String), BTreeSet<String>>,
    /// How many values were delivered, by name.
    counts: BTreeMap<String, usize>,
    /// The value that was delivered last, by name.
    pub(super) last_values: BTreeMap<String, String>,
    /// Violations with the uid of the key. The token server may refuse a deleted key.
    violations: Vec<(String, String)>,
}

impl Recorded {
    /// Violations of keys that still exist.
    pub(super) fn violations(&self) -> Vec<&String> {
        let uids: BTreeSet<_> = self.keys.values().filter_map(ResourceExt::uid).collect();
        let mut violations: Vec<_> = self.violations.iter().collect();
        violations.retain(|(uid, _)| uids.contains(uid) || uid.is_empty());
        violations.into_iter().map(|(_, what)| what).collect()
    }

    fn violation(&mut self, uid: &str, what: String) {
        self.violations.push((uid.to_owned(), what));
    }

    /// How many values were delivered under this name.
    pub(super) fn count_values(&self, name: &str) -> usize {
        self.counts.get(name).copied().unwrap_or_default()
    }

    /// All values that were delivered.
    pub(super) fn all_values(&self) -> impl Iterator<Item = &String> {
        self.values.values().flatten()
    }

    fn take_key(&mut self, name: &str, key: Option<ApiKey>) {
        match key {
            Some(key) => self.keys.insert(name.to_owned(), key),
            None => self.keys.remove(name),
        };
    }

    fn take_secret(&mut self, name: &str, secret: Option<CoreSecret>, now: Timestamp) {
        if name == names::PEPPERS_SECRET {
            self.ring = secret.map(|secret| {
                PepperRing::parse(data(&secret, names::KEY_RING_DATA_KEY)).expect("a ring")
            });
        } else if let Some(uid) = names::record_owner_uid(name) {
            self.take_record(uid, secret.as_ref(), now);
        } else {
            self.delivery(name, secret, now);
        }
    }

    fn take_record(&mut self, uid: &str, secret: Option<&CoreSecret>, now: Timestamp) {
        let Some(secret) = secret else {
            self.credential_records.remove(uid);
            return;
        };
        if secret.type_.as_deref() != Some(names::VERIFIER_SECRET_TYPE) {
            return;
        }
        let document = CredentialRecord::parse(data(secret, names::VERIFIER_DATA_KEY))
            .expect("a credential record");
        if document.owner.namespace != self.namespace {
            return;
        }
        let name = document.owner.name.clone();
        let uids = self.uids.entry(name.clone()).or_default();
        uids.insert(uid.to_owned());
        if document.pending.len() > MAX_PENDING {
            self.violation(uid, format!("{name}: too many attempts"));
        }
        self.credential_records.insert(uid.to_owned(), document);
        self.judge(&name, now);
    }

    fn delivery(&mut self, name: &str, secret: Option<CoreSecret>, now: Timestamp) {
        let Some(secret) = secret else {
            self.delivered.remove(name);
            return;
        };
        if secret.metadata.namespace.as_ref() != Some(&self.namespace) {
            return;
        }
        let value = text(&secret, names::data::SECRET);
        let number = secret.annotations()[names::ANNOTATION_REVISION].clone();
        let id = (text(&secret, names::data::KEY_ID), number);
        let values = self.values.entry(id).or_default();
        if values.insert(value.clone()) {
            *self.counts.entry(name.to_owned()).or_default() += 1;
        }
        if values.len() > 1 {
            self.violation("", format!("{name}: two secrets have one number"));
        }
        self.last_values.insert(name.to_owned(), value);
        self.delivered.insert(name.to_owned(), secret);
        self.judge(name, now);
    }

    /// Checks that the delivered secret is accepted now.
    fn judge(&mut self, name: &str, now: Timestamp) {
        let Some(secret) = self.delivered.get(name) else {
            return;
        };
        // A Secret without an owner belongs to a key that is being restored.
        let Some(owner) = secret.owner_references().first() else {
            return;
        };
        let value = Secret::parse(&text(secret, names::data::SECRET))
            .expect("a secret of the published format");
        let document = self.credential_records.get(&owner.uid);
        if !document.is_some_and(|document| self.accepts(document, &value, now)) {
            let version = secret.resource_version().unwrap_or_default();
            let what = format!("{name}: version {version} of the Secret is refused");
            self.violation(&owner.uid.clone(), what);
        }
    }

    fn accepts(&self, document: &CredentialRecord, value: &Secret, now: Timestamp) -> bool {
        let pending = document.pending.iter().map(|pending| &pending.entry);
        let previous = document.accepted_previous(now).map(|(entry, _)| entry);
        let mut entries = pending.chain([&document.current]).chain(previous);
        let ring = self
            .ring
            .as_ref()
            .expect("peppers come before credential records");
        entries.any(|entry| ring.matches(value, &entry.fingerprint) == Some(true))
    }
}

fn data<'a>(secret: &'a CoreSecret, key: &str) -> &'a [u8] {
    let data = secret.data.as_ref();
    data.and_then(|data| data.get(key))
        .map_or(&[], |value| &value.0)
}

fn text(secret: &CoreSecret, key: &str) -> String {
    String::from_utf8(data(secret, key).to_vec()).unwrap()
}
