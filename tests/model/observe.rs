//! From what a run has observed to what the operator's own [`plan`] decides.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use apikey_api::{
    AllowedNamespaces, ApiKey, ApiKeySpec, ApiKeyStatus, DeliveredSecretSpec, Delivery,
    FromNamespaces, Organization, OrganizationSpec, RotationSpec, names,
};
use apikey_credential::KeyId;
use apikey_credential::fingerprint::Fingerprint;
use apikey_credential::record::{Cause, Entry, Identity, Owner, PENDING_MAX_AGE};
use apikey_operator::controller::apikey::delivered::{Controller, Delivered as DeliveredMetadata};
use apikey_operator::controller::apikey::execute::DELIVER_WITHIN;
use apikey_operator::controller::apikey::model::{Action, Observed, Settings};
use apikey_operator::controller::apikey::plan::plan;
use apikey_operator::controller::apikey::written::Written;
use apikey_operator::watch::stored::StoredRecord;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;

use super::state::{Delivered, Interned, Key, STATUSES, Seconds, SecretNumber, Uid, View};

/// When the first key was made.
const START: i64 = 1_800_000_000;

/// What differs between the explored worlds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    pub(crate) delivery: Delivery,
    pub(crate) overlap_seconds: u32,
    /// Moments at which something may happen. At the last one the key has expired.
    pub(crate) moments: &'static [Seconds],
    /// How many controllers run, 1 or 2.
    pub(crate) controllers: usize,
    /// How many edits people make.
    pub(crate) edits: u8,
    /// How often something fails.
    pub(crate) faults: u8,
    /// Most secrets: a controller that never learns that a key without a status is gone mints one whenever
    /// the other sweeps its credential record.
    pub(crate) secrets: usize,
}

impl World {
    pub(crate) fn expiry(&self) -> Seconds {
        *self.moments.last().unwrap()
    }

    /// Whether the time to the next moment is longer than any controller is away or busy: then all is at
    /// rest before it.
    pub(crate) fn is_long(&self, moment: usize) -> bool {
        self.moments[moment + 1] - self.moments[moment] > 900
    }

    /// Whether the clock may be set back to the moment before. That is promised to be survived if it is
    /// less than the time between the last delivery of a secret and the first removal of its proof.
    pub(crate) fn can_be_set_back(&self, moment: usize) -> bool {
        let margin = PENDING_MAX_AGE - DELIVER_WITHIN;
        let back = |to: Seconds| timestamp(self.moments[moment]).duration_since(timestamp(to));
        moment > 0 && back(self.moments[moment - 1]) < margin
    }
}

pub(crate) fn timestamp(seconds: Seconds) -> Timestamp {
    Timestamp::from_second(START + i64::from(seconds)).unwrap()
}

/// Rounded down; what was before the start is the start.
pub(crate) fn seconds(timestamp: Timestamp) -> Seconds {
    Seconds::try_from(timestamp.as_second() - START).unwrap_or_default()
}

/// What [`plan`] decided.
#[derive(Debug)]
pub(crate) struct Decision {
    pub(crate) actions: Vec<Action>,
    pub(crate) status: Interned<ApiKeyStatus>,
    pub(crate) next: Seconds,
}

/// Asks the operator's [`plan`], once for each thing observed: it is a pure function.
#[derive(Default)]
pub(crate) struct Decisions(RwLock<BTreeMap<View, Interned<Decision>>>);

impl Decisions {
    pub(crate) fn of(&self, world: &World, view: &View) -> Interned<Decision> {
        if let Some(known) = self.0.read().unwrap().get(view) {
            return *known;
        }
        let plan = plan(&observed(world, view));
        let decision = Decision {
            actions: plan.actions,
            status: STATUSES.intern(plan.status),
            next: seconds(plan.next),
        };
        let mut known = self.0.write().unwrap();
        let number = known.len();
        let decided = known.entry(view.clone());
        *decided.or_insert_with(|| Interned::new(number, decision))
    }

    /// How many different things were observed.
    pub(crate) fn len(&self) -> usize {
        self.0.read().unwrap().len()
    }
}

fn uid(uid: Uid) -> String {
    format!("uid-{uid}")
}

/// The key as the API server stores it.
pub(crate) fn apikey(world: &World, key: &Key) -> ApiKey {
    let spec = ApiKeySpec {
        org: "acme".into(),
        roles: vec!["viewer".into()],
        expiry: Some(timestamp(world.expiry()).to_string()),
        secret: Some(DeliveredSecretSpec {
            delivery: world.delivery,
            ..DeliveredSecretSpec::default()
        }),
        rotation: Some(RotationSpec {
            every_days: None,
            overlap_seconds: Some(world.overlap_seconds),
        }),
        ..ApiKeySpec::default()
    };
    let mut apikey = ApiKey::new("ci", spec);
    let asked = (key.asked > 0).then(|| key.asked.to_string());
    let discarded = key.discarded.map(|revision| revision.to_string());
    let annotations = [
        (names::ANNOTATION_ROTATE_REQUESTED_AT, asked),
        (names::ANNOTATION_DISCARD_PREVIOUS, discarded),
    ];
    apikey.metadata = ObjectMeta {
        name: Some("ci".into()),
        namespace: Some("team".into()),
        uid: Some(uid(key.uid)),
        generation: Some(1),
        creation_timestamp: Some(Time(timestamp(0))),
        annotations: Some(present(annotations)),
        ..ObjectMeta::default()
    };
    apikey.status = key.status.as_deref().cloned();
    apikey
}

fn present<const N: usize>(pairs: [(&str, Option<String>); N]) -> BTreeMap<String, String> {
    let pairs = pairs.into_iter();
    pairs
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

fn organization() -> Organization {
    let allowed_namespaces = AllowedNamespaces {
        from: FromNamespaces::Names,
        names: vec!["another".into()],
        selector: None,
    };
    let spec = OrganizationSpec {
        allowed_namespaces,
        ..OrganizationSpec::default()
    };
    Organization::new("acme", spec)
}

fn observed(world: &World, view: &View) -> Observed {
    let delivered = view.delivered.as_ref().map(delivered);
    let document = view.record.as_deref().cloned();
    let record = document.map(|document| StoredRecord {
        metadata: ObjectMeta::default(),
        owner: None,
        document: Ok(document),
        is_labelled: true,
    });
    Observed {
        apikey: Arc::new(apikey(world, &view.key)),
        organization: view.refused.then(|| Arc::new(organization())),
        parent: None,
        unreadable: None,
        sub_organizations: Vec::new(),
        namespace_labels: None,
        over_quota: None,
        record: record.map(Arc::new),
        delivered: delivered.map(Arc::new),
        confirmed: view.confirmed,
        deleted: view.deleted,
        template_applied: false,
        unemptied: false,
        replacements: view.replacements.iter().copied().map(timestamp).collect(),
        settings: Settings {
            require_organizations: false,
            restore: false,
            email_domain: "apikeys.internal".into(),
            token_url: None,
        },
        now: timestamp(view.now),
    }
}

fn delivered(delivered: &Delivered) -> DeliveredMetadata {
    let revealed_at = delivered.revealed_at.map(timestamp);
    DeliveredMetadata {
        namespace: "team".into(),
        name: "ci".into(),
        uid: "secret".into(),
        resource_version: "1".into(),
        is_deleting: false,
        is_labelled: true,
        controller: (!delivered.is_taken).then(|| Controller::ApiKey {
            name: "ci".into(),
            uid: uid(delivered.owner).into(),
        }),
        entry_digest: Some(digest(delivered.secret).into()),
        template: None,
        revealed_at: revealed_at.map(|at| at.to_string().into()),
        written: Written::default(),
    }
}

/// What proves a secret.
pub(crate) fn entry(
    secret: SecretNumber,
    revision: i64,
    cause: Cause,
    created_at: Seconds,
) -> Entry {
    Entry {
        revision,
        hash: format!("hash of {secret}"),
        fingerprint: Fingerprint {
            pepper_id: "p".into(),
            value: "v".into(),
        },
        created_at: Time(timestamp(created_at)),
        cause,
        valid_until: None,
    }
}

/// What names the secret in the annotation of a delivered Secret.
pub(crate) fn digest(secret: SecretNumber) -> String {
    entry(secret, 0, Cause::First, 0).digest()
}

/// What stays with the key of this uid. The public id comes from the number of its first secret.
pub(crate) fn identity(of: Uid, secret: SecretNumber) -> Identity {
    Identity {
        owner: Owner {
            namespace: "team".into(),
            name: "ci".into(),
            uid: uid(of),
        },
        org: "acme".into(),
        email: "ci@acme.apikeys.internal".into(),
        key_id: KeyId::from_entropy([secret; 10]),
    }
}
