//! Test fixtures: keys in an index, as the watches would deliver them.

use std::sync::Arc;

use crate::watch::event::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::core::ObjectMeta;

use super::index::Index;
use crate::watch::scope::WatchScope;
use crate::watch::stored::StoredRecord;
use apikey_api::{ApiKey, ApiKeySpec, Organization, OrganizationSpec, names};
use apikey_credential::fingerprint::PepperRing;
use apikey_credential::record::{Cause, CredentialRecord, Entry, Identity, Owner, Pending};
use apikey_credential::{Argon2Cost, KeyId, Secret, hash};

/// Start time of the tests. Unit: seconds since 1970.
pub(super) const NOW: i64 = 1_800_000_000;
/// Expiry of the keys in the tests. Unit: seconds since 1970.
pub(super) const EXPIRY: i64 = NOW + 100_000;

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// The `n`th key and its first secret.
pub(super) fn secret(n: u8) -> Secret {
    secret_of_revision(n, 1)
}

pub(super) fn secret_of_revision(n: u8, revision: u8) -> Secret {
    Secret::from_entropy(&KeyId::from_entropy([n; 10]), [revision; 32])
}

pub(super) fn ring() -> PepperRing {
    PepperRing::generate(at(NOW)).unwrap()
}

/// The `n`th key: `key-n` of organization `acme`, with role `viewer`.
pub(super) fn apikey(n: u8) -> ApiKey {
    let mut key = ApiKey::new(
        &format!("key-{n}"),
        ApiKeySpec {
            org: "acme".into(),
            roles: vec!["viewer".into()],
            expiry: Some(at(EXPIRY).to_string()),
            ..ApiKeySpec::default()
        },
    );
    key.metadata.namespace = Some("team".into());
    key.metadata.uid = Some(format!("uid-{n}"));
    key.metadata.creation_timestamp = Some(Time(at(NOW - 1000 + i64::from(n))));
    key
}

pub(super) fn organization(name: &str, change: impl FnOnce(&mut OrganizationSpec)) -> Organization {
    let mut spec = OrganizationSpec::default();
    change(&mut spec);
    Organization::new(name, spec)
}

pub(super) fn entry(secret: &Secret, revision: i64, ring: &PepperRing) -> Entry {
    let cost = Argon2Cost {
        memory_kib: 8,
        iterations: 1,
    };
    Entry {
        revision,
        hash: hash::hash(secret, &[7; 16], cost, &mut hash::Memory::default()).unwrap(),
        fingerprint: ring.fingerprint(secret).unwrap(),
        created_at: Time(at(NOW)),
        cause: Cause::First,
        valid_until: None,
    }
}

/// Another secret whose delivery has begun, with a minute of overlap.
pub(super) fn pending(secret: &Secret, revision: i64, ring: &PepperRing) -> Pending {
    Pending {
        entry: entry(secret, revision, ring),
        overlap_seconds: 60,
        request: None,
    }
}

/// The credential record of the first secret of the `n`th key.
pub(super) fn document(n: u8, ring: &PepperRing) -> CredentialRecord {
    let owner = Owner {
        namespace: "team".into(),
        name: format!("key-{n}"),
        uid: format!("uid-{n}"),
    };
    let identity = Identity {
        owner,
        org: "acme".into(),
        email: format!("key-{n}@acme.test"),
        key_id: secret(n).key_id().clone(),
    };
    CredentialRecord::new(identity, at(EXPIRY), entry(&secret(n), 1, ring))
}

pub(super) fn record(document: CredentialRecord) -> StoredRecord {
    StoredRecord {
        metadata: ObjectMeta {
            name: Some(names::record_secret(&document.owner.uid)),
            ..ObjectMeta::default()
        },
        owner: Some(document.owner.clone()),
        document: Ok(document),
        is_labelled: true,
    }
}

/// An index with these peppers and the first `keys` keys; all lists are complete.
pub(super) fn index(keys: u8, ring: &PepperRing) -> Arc<Index> {
    let index = Index::new(false);
    index.use_peppers(ring.clone());
    index.apikey(&WatchScope::Everything, Event::Init);
    index.record(Event::Init);
    for n in 1..=keys {
        index.apikey(&WatchScope::Everything, Event::InitApply(apikey(n).into()));
        index.record(Event::InitApply(record(document(n, ring)).into()));
    }
    index.apikey(&WatchScope::Everything, Event::InitDone);
    index.record(Event::InitDone);
    index.organization(Event::Init);
    index.organization(Event::InitDone);
    index.namespace(&WatchScope::Everything, Event::Init);
    index.namespace(&WatchScope::Everything, Event::InitDone);
    Arc::new(index)
}
