//! From what a run has observed to what the operator's own [`plan`] decides.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use apikey_api::{
    AllowedNamespaces, ApiKey, ApiKeySpec, DeliveredSecretSpec, FromNamespaces, Organization,
    OrganizationSpec, RotationSpec, names,
};
use apikey_operator::controller::apikey::model::{Observed, Settings};
use apikey_operator::controller::apikey::plan::plan;
use apikey_operator::controller::delivered::{Controller, Delivered as DeliveredMetadata};
use apikey_operator::controller::written::Written;
use apikey_operator::watch::stored::StoredRecord;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use super::interned::{Interned, STATUSES};
use super::record::{digest, uid};
use super::state::{Decision, Delivered, Key, View};
use super::world::{World, seconds, timestamp};

/// Calls the operator's [`plan`] once for each observation. It is a pure function.
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

    /// The number of different observations.
    pub(crate) fn len(&self) -> usize {
        self.0.read().unwrap().len()
    }
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
