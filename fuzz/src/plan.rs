//! Properties of the plan for one key, for any stored objects.

use std::collections::BTreeMap;
use std::sync::Arc;

use apikey_api::conditions::{DELIVERED, EXPIRED, READY, RECONCILING, STALLED, find};
use apikey_api::{ApiKey, ApiKeyStatus, Organization, Phase};
use apikey_client::object::Decode as _;
use apikey_credential::record::CredentialRecord;
use apikey_operator::controller::apikey::model::{Action, Observed, Proof, Settings};
use apikey_operator::controller::apikey::plan::{MAX_WAIT, Plan, plan};
use apikey_operator::controller::apikey::reported::Reported;
use apikey_operator::controller::apikey::transitions;
use apikey_operator::controller::delivered::Delivered;
use apikey_operator::watch::stored::StoredRecord;
use apikey_policy::OverQuota;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// What is stored, and how the operator was started. What is left out is not there.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, as in what it becomes"
)]
struct Scene {
    now: Time,
    apikey: ApiKey,
    organization: Option<Organization>,
    parent: Option<Organization>,
    #[serde(default)]
    sub_organizations: Vec<Organization>,
    #[serde(default)]
    namespace_labels: Option<BTreeMap<String, String>>,
    unreadable: Option<String>,
    /// The `maxKeys` that leaves no place.
    over_quota: Option<i64>,
    /// The document, readable or not.
    verifier: Option<Value>,
    /// Whether the labels of the credential record were changed.
    #[serde(default)]
    unlabelled: bool,
    delivered: Option<Box<RawValue>>,
    #[serde(default)]
    confirmed: bool,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    replacements: Vec<Time>,
    #[serde(default)]
    require_organizations: bool,
    #[serde(default)]
    restore: bool,
    token_url: Option<String>,
}

impl Scene {
    fn observed(self) -> Observed {
        let over_quota = self.over_quota.map(|max_keys| OverQuota {
            organization: self.apikey.spec.org.clone(),
            max_keys,
        });
        let record = self.verifier.map(|document| StoredRecord {
            metadata: ObjectMeta::default(),
            owner: None,
            document: CredentialRecord::parse(document.to_string().as_bytes()),
            is_labelled: !self.unlabelled,
        });
        let delivered = self
            .delivered
            .and_then(|secret| Delivered::decode(secret.get()).ok());
        Observed {
            organization: self.organization.map(Arc::new),
            parent: self.parent.map(Arc::new),
            sub_organizations: self.sub_organizations.into_iter().map(Arc::new).collect(),
            unreadable: self.unreadable,
            namespace_labels: self.namespace_labels.map(Arc::new),
            over_quota,
            record: record.map(Arc::new),
            delivered: delivered.map(Arc::new),
            confirmed: self.confirmed,
            deleted: self.deleted,
            template_applied: false,
            unemptied: false,
            replacements: self.replacements.into_iter().map(|time| time.0).collect(),
            settings: Settings {
                require_organizations: self.require_organizations,
                restore: self.restore,
                email_domain: "apikeys.internal".into(),
                token_url: self.token_url.map(Into::into),
            },
            now: self.now.0,
            apikey: Arc::new(self.apikey),
        }
    }
}

/// Checks the plan for readable objects: it is deterministic, its steps are possible, its status is consistent and
/// written once, and its next check is within an hour.
pub fn check(bytes: &[u8]) {
    let Ok(scene) = serde_json::from_slice::<Scene>(bytes) else {
        return;
    };
    let observed = scene.observed();
    let first = plan(&observed);
    assert_eq!(first, plan(&observed.clone()));
    let latest = observed.now.checked_add(MAX_WAIT).unwrap_or(Timestamp::MAX);
    assert!(observed.now <= first.next && first.next <= latest);
    if observed.deleted {
        assert_eq!(first.actions, []);
        assert_eq!(
            first.status,
            observed.apikey.status.clone().unwrap_or_default()
        );
        return;
    }
    check_steps(&observed, &first.actions);
    check_status(&observed, &first.status);
    check_rest(observed, &first);
}

/// Checks that each step is possible after the steps before it.
fn check_steps(observed: &Observed, actions: &[Action]) {
    let document = observed.document();
    let own = observed.own_delivered();
    let mut minted = false;
    for action in actions {
        match action {
            Action::Confirm => assert!(!observed.confirmed, "it would be confirmed for ever"),
            Action::Issue { proof, replaces } => {
                check_proof(observed, proof);
                assert_eq!(replaces.is_some(), observed.delivered.is_some());
                assert_eq!(replaces.is_some(), own.is_some(), "it is somebody else's");
                minted = true;
            }
            Action::LabelRecord => {
                assert!(observed.record.as_ref().is_some_and(|v| !v.is_labelled));
            }
            Action::Promote => assert!(minted || own.is_some()),
            Action::DropPending => {
                let until = document.and_then(CredentialRecord::pending_until);
                assert!(observed.confirmed && until.is_some_and(|until| until <= observed.now));
            }
            Action::DiscardPrevious => assert!(document.is_some_and(|d| d.previous.is_some())),
            Action::RecordClaim(claim) => {
                assert!(document.is_some_and(|d| d.claim != *claim));
            }
            Action::EndCurrent => {
                let document = document.expect("something to end");
                assert_eq!(document.current_until(), None, "it would end for ever");
            }
            Action::EmptyDelivered => {
                assert!(own.is_some_and(|own| own.is_deleting && own.entry_digest.is_some()));
            }
            Action::LabelDelivered => assert!(own.is_some_and(|own| !own.is_labelled)),
            Action::RemoveDelivered | Action::ApplyTemplate => assert!(own.is_some()),
            Action::AdoptDelivered => {
                assert!(observed.settings.restore && observed.delivered.is_some());
            }
        }
    }
    let removes = actions.contains(&Action::RemoveDelivered);
    assert!(!observed.settings.restore || !minted && !removes);
}

/// Checks that the record of a new secret can be stored.
fn check_proof(observed: &Observed, proof: &Proof) {
    let document = observed.document();
    match proof {
        Proof::First { expires_at } => {
            assert!(observed.record.is_none(), "a verifier would be overwritten");
            assert!(*expires_at > observed.now);
        }
        Proof::FirstAgain => {
            let document = document.expect("something to begin again");
            assert!(document.withdrawn && document.expires_at.0 > observed.now);
        }
        Proof::Pending(next) => {
            let document = document.expect("something to append to");
            assert!(document.expires_at.0 > observed.now);
            assert_eq!(next.revision, document.next_revision());
            assert_eq!(document.room_from(), None);
        }
    }
}

/// Checks that the status is about this generation and consistent.
fn check_status(observed: &Observed, status: &ApiKeyStatus) {
    let generation = observed.apikey.metadata.generation.unwrap_or(0);
    assert_eq!(status.observed_generation, generation);
    let conditions = &status.conditions;
    assert!(conditions.is_sorted_by(|a, b| a.type_ < b.type_));
    let condition_status =
        |type_| find(conditions, type_).map(|condition| condition.status.as_str());
    let is_true = |type_| condition_status(type_) == Some("True");
    assert!(condition_status(DELIVERED).is_some());
    let held = [READY, RECONCILING, STALLED].map(is_true);
    assert_eq!(held.iter().filter(|holds| **holds).count(), 1, "{held:?}");
    assert_eq!(is_true(EXPIRED), status.phase == Some(Phase::Expired));
    for condition in conditions {
        assert!(!condition.message.is_empty() && condition.message.chars().count() <= 1024);
        assert!(
            condition
                .reason
                .bytes()
                .all(|byte| byte.is_ascii_alphabetic())
        );
    }
}

/// Checks that a settled key with its status stored needs no step and logs no change, even if its status is forged.
fn check_rest(mut observed: Observed, settled: &Plan) {
    if !settled.actions.is_empty() {
        return;
    }
    let stored = observed.apikey.status.clone().unwrap_or_default();
    let (now, document) = (observed.now, observed.document());
    let before = Reported::stored(&stored, document, now);
    let reported_changes =
        transitions::changes(&observed.apikey, &before, &settled.status, document, now);
    for change in reported_changes {
        let message = change.transition.message;
        assert!(!message.is_empty() && !message.contains(char::is_control));
        let roles = change.audit.and_then(|line| line.previous_roles);
        let mut roles = roles.iter().flatten();
        assert!(!roles.any(|role| role.contains(char::is_control)));
    }
    let reported = before.next(&settled.status, document, now);
    let stored = serde_json::to_value(&settled.status).expect("JSON");
    let stored: ApiKeyStatus = serde_json::from_value(stored).expect("what was written");
    Arc::make_mut(&mut observed.apikey).status = Some(stored.clone());
    let again = plan(&observed);
    assert_eq!(again.actions, []);
    assert_eq!(again.next, settled.next);
    assert_eq!(again.status, stored);
    let silent = |observed: &Observed, status| {
        let (apikey, document) = (&observed.apikey, observed.document());
        let reported_changes = transitions::changes(apikey, &reported, status, document, now);
        assert_eq!(reported_changes, []);
    };
    silent(&observed, &stored);
    Arc::make_mut(&mut observed.apikey).status = None;
    silent(&observed, &plan(&observed).status);
}
