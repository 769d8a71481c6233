//! A model of the API server, the executor and a clock.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};

use super::*;
use crate::controller::apikey::model::{Proof, Settings};
use crate::controller::apikey::reported::Reported;
use crate::controller::apikey::transitions::{self, Change};
use crate::controller::apikey::{render, rotation};
use crate::controller::delivered::{Controller, Delivered};
use crate::controller::written::Written;
use apikey_api::conditions::{self, READY};
use apikey_api::{ApiKeySpec, Phase, names};
use apikey_credential::KeyId;
use apikey_credential::fingerprint::Fingerprint;
use apikey_credential::record::{
    Cause, Entry, FIRST_REVISION, Identity, MAX_PENDING, Owner as KeyOwner, Pending,
};

pub(super) const CREATED: i64 = 1_800_000_000;
pub(super) const DAY: i64 = 86_400;

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub(super) fn apikey() -> ApiKey {
    let spec = ApiKeySpec {
        org: "acme".into(),
        roles: vec!["viewer".into()],
        ..ApiKeySpec::default()
    };
    let mut key = ApiKey::new("ci", spec);
    key.metadata.namespace = Some("team".into());
    key.metadata.uid = Some("uid-1".into());
    key.metadata.generation = Some(1);
    key.metadata.creation_timestamp = Some(Time(at(CREATED)));
    key
}

/// The API server, the executor, and a clock that tests move.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) observed: Observed,
    pub(super) writes: usize,
    /// What the running process has reported.
    pub(super) reported: Option<Reported>,
}

impl World {
    pub(super) fn new(apikey: ApiKey) -> Self {
        let settings = Settings {
            require_organizations: false,
            restore: false,
            email_domain: "d".into(),
            token_url: None,
        };
        let observed = Observed {
            apikey: Arc::new(apikey),
            organization: None,
            parent: None,
            unreadable: None,
            sub_organizations: Vec::new(),
            namespace_labels: None,
            over_quota: None,
            record: None,
            delivered: None,
            confirmed: false,
            deleted: false,
            unemptied: false,
            replacements: Vec::new(),
            template_applied: false,
            settings,
            now: at(CREATED),
        };
        Self {
            observed,
            writes: 0,
            reported: None,
        }
    }

    pub(super) fn change(&mut self, change: impl FnOnce(&mut ApiKey)) {
        change(Arc::make_mut(&mut self.observed.apikey));
    }

    pub(super) fn store(&mut self, document: CredentialRecord) {
        self.writes += 1;
        self.observed.record = Some(Arc::new(StoredRecord {
            metadata: ObjectMeta::default(),
            owner: None,
            document: Ok(document),
            is_labelled: true,
        }));
    }

    pub(super) fn deliver(&mut self, digest: &str) {
        self.writes += 1;
        let uid = self.observed.apikey.metadata.uid.as_deref().unwrap();
        self.observed.delivered = Some(Arc::new(Delivered {
            namespace: "team".into(),
            name: "ci".into(),
            uid: "secret".into(),
            resource_version: self.writes.to_string().into(),
            is_deleting: false,
            is_labelled: true,
            controller: Some(Controller::ApiKey {
                name: "ci".into(),
                uid: uid.into(),
            }),
            entry_digest: Some(digest.into()),
            template: None,
            revealed_at: None,
            written: Written::default(),
        }));
    }

    pub(super) fn mint(&self, revision: i64, cause: Cause) -> Entry {
        let fingerprint = Fingerprint {
            pepper_id: "p".into(),
            value: "v".into(),
        };
        let created_at = Time(self.observed.now);
        let hash = format!("hash {revision} {}", self.writes);
        Entry {
            revision,
            hash,
            fingerprint,
            created_at,
            cause,
            valid_until: None,
        }
    }

    /// Mints a secret and stores its entry.
    pub(super) fn prove(&mut self, proof: &Proof) -> Entry {
        let document = self.observed.document().cloned();
        match proof {
            Proof::First { expires_at } => {
                assert!(
                    document.is_none(),
                    "a credential record would be overwritten"
                );
                let entry = self.mint(FIRST_REVISION, Cause::First);
                let key_id = KeyId::from_entropy([u8::try_from(self.writes).unwrap(); 10]);
                let owner = KeyOwner {
                    namespace: "team".into(),
                    name: "ci".into(),
                    uid: "uid-1".into(),
                };
                let identity = Identity {
                    owner,
                    org: "acme".into(),
                    email: "ci@acme".into(),
                    key_id,
                };
                let mut document = CredentialRecord::new(identity, *expires_at, entry.clone());
                document.remember(rotation::request(&self.observed.apikey));
                self.store(document);
                entry
            }
            Proof::FirstAgain => {
                let entry = self.mint(FIRST_REVISION, Cause::First);
                let mut document = document.unwrap().beginning_again(entry.clone());
                document.remember(rotation::request(&self.observed.apikey));
                self.store(document);
                entry
            }
            Proof::Pending(next) => {
                let entry = self.mint(next.revision, next.cause);
                let pending = Pending {
                    entry: entry.clone(),
                    overlap_seconds: next.overlap_seconds,
                    request: next.request.clone(),
                };
                let document = document.unwrap().with_pending(pending);
                assert!(document.pending.len() <= MAX_PENDING, "unbounded");
                self.store(document);
                entry
            }
        }
    }

    fn deliver_in_place_of(&mut self, minted: &Entry, replaces: bool) {
        let there = self.observed.delivered.is_some();
        assert_eq!(replaces, there, "the precondition would fail");
        self.deliver(&minted.digest());
    }

    pub(super) fn take(&mut self, action: &Action) {
        let document = self.observed.document().cloned();
        match action {
            Action::Confirm => self.observed.confirmed = true,
            Action::Issue { proof, replaces } => {
                let minted = self.prove(proof);
                self.deliver_in_place_of(&minted, replaces.is_some());
            }
            Action::LabelRecord => self.store(document.unwrap()),
            Action::Promote => {
                let named = self.named().unwrap();
                let promoted = document.unwrap().promoted(&named, self.observed.now);
                let promoted = promoted.expect("the delivered entry is pending");
                if promoted.current.cause == Cause::Replacement {
                    self.observed.replacements.push(self.observed.now);
                }
                self.store(promoted);
            }
            Action::DropPending => {
                self.store(document.unwrap().without_old_pending(self.observed.now));
            }
            Action::DiscardPrevious => {
                self.store(document.unwrap().without_previous());
            }
            Action::EndCurrent => {
                let document = rotation::ending(&document.unwrap(), self.observed.now);
                self.store(document);
            }
            Action::EmptyDelivered => {
                self.writes += 1;
                let secret = Arc::make_mut(self.observed.delivered.as_mut().unwrap());
                secret.entry_digest = None;
            }
            Action::RecordClaim(claim) => {
                let mut document = document.unwrap();
                document.claim = claim.clone();
                self.store(document);
            }
            Action::RemoveDelivered => {
                self.writes += 1;
                self.observed.delivered = None;
            }
            Action::AdoptDelivered => {
                let named = self.named().expect("a Secret of this key");
                self.deliver(&named);
            }
            Action::LabelDelivered => {
                let secret = Arc::make_mut(self.observed.delivered.as_mut().unwrap());
                secret.is_labelled = true;
                self.writes += 1;
            }
            Action::ApplyTemplate => {
                let digest = render::template_digest(
                    &self.observed.apikey,
                    self.observed.settings.token_url.as_deref(),
                );
                let secret = Arc::make_mut(self.observed.delivered.as_mut().unwrap());
                secret.template = digest.map(Into::into);
                self.writes += 1;
            }
        }
    }

    /// One attempt whose delivery is refused.
    pub(super) fn run_refused(&mut self) {
        self.observed.confirmed = false;
        for _ in 0..8 {
            for action in plan(&self.observed).actions {
                if let Action::Issue { proof, .. } = &action {
                    let minted = self.prove(proof);
                    let document = self.observed.document().unwrap();
                    let document = document.without_undelivered(&minted);
                    self.store(document.expect("the secret was proven"));
                    return;
                }
                self.take(&action);
            }
        }
        panic!("nothing is delivered: {:?}", plan(&self.observed));
    }

    /// The entry that the delivered Secret names.
    pub(super) fn named(&self) -> Option<String> {
        let secret = self.observed.delivered.as_deref()?;
        secret.entry_digest.as_deref().map(str::to_owned)
    }

    /// Whether the token endpoint would accept the value of the delivered Secret.
    pub(super) fn accepts_delivered(&self) -> bool {
        let (Some(named), Some(document)) = (self.named(), self.observed.document()) else {
            return false;
        };
        let all = document
            .pending
            .iter()
            .map(|pending| &pending.entry)
            .chain([&document.current])
            .chain(&document.previous);
        all.into_iter().any(|entry| {
            let until = entry.valid_until.as_ref();
            let is_over = until.is_some_and(|until| until.0 <= self.observed.now);
            entry.digest() == named && !is_over
        })
    }

    /// Executes at most `budget` steps, like a process that is then killed. Returns whether it
    /// finished.
    pub(super) fn run(&mut self, mut budget: usize) -> bool {
        self.observed.confirmed = false;
        for _ in 0..8 {
            let plan = plan(&self.observed);
            if plan.actions.is_empty() {
                self.change(|key| key.status = Some(plan.status));
                return true;
            }
            for action in &plan.actions {
                if budget == 0 {
                    return false;
                }
                budget -= 1;
                let Action::Issue { proof, replaces } = action else {
                    self.take(action);
                    continue;
                };
                let minted = self.prove(proof);
                if budget == 0 {
                    return false;
                }
                budget -= 1;
                self.deliver_in_place_of(&minted, replaces.is_some());
            }
        }
        panic!("the plan does not converge: {:?}", plan(&self.observed));
    }

    pub(super) fn status(&self) -> ApiKeyStatus {
        self.observed.apikey.status.clone().unwrap()
    }

    pub(super) fn revision(&self) -> i64 {
        self.observed.document().unwrap().current.revision
    }

    /// Moves the clock and lets a process settle.
    pub(super) fn settle_at(&mut self, second: i64) {
        self.observed.now = at(second);
        assert!(self.run(usize::MAX));
    }

    /// Requests a rotation, with this overlap or that of the spec.
    pub(super) fn ask(&mut self, token: &str, overlap_seconds: Option<u32>) {
        self.annotate(names::ANNOTATION_ROTATE_REQUESTED_AT, token);
        if let Some(seconds) = overlap_seconds {
            let name = names::ANNOTATION_ROTATE_OVERLAP_SECONDS;
            self.annotate(name, &seconds.to_string());
        }
    }

    pub(super) fn annotate(&mut self, name: &str, value: &str) {
        self.change(|key| {
            let annotations = key.metadata.annotations.get_or_insert_default();
            annotations.insert(name.to_owned(), value.to_owned());
        });
    }

    /// Reports what is observed.
    pub(super) fn report(&mut self) -> Vec<Change> {
        let status = plan(&self.observed).status;
        let (key, now) = (&self.observed.apikey, self.observed.now);
        let document = self.observed.document();
        let reported = self.reported.take().unwrap_or_else(|| {
            let stored = key.status.clone().unwrap_or_default();
            Reported::stored(&stored, document, now)
        });
        let changes = transitions::changes(key, &reported, &status, document, now);
        self.reported = Some(reported.next(&status, document, now));
        changes
    }

    /// The reasons of what would be reported.
    pub(super) fn reasons(&self) -> Vec<&'static str> {
        let changes = self.clone().report();
        changes
            .into_iter()
            .map(|change| change.transition.reason)
            .collect()
    }

    pub(super) fn ready(&self) -> Condition {
        let status = self.observed.apikey.status.as_ref().unwrap();
        conditions::find(&status.conditions, READY).unwrap().clone()
    }

    pub(super) fn phase(&self) -> Phase {
        self.observed.apikey.status.as_ref().unwrap().phase.unwrap()
    }
}

pub(super) fn minted() -> World {
    let mut world = World::new(apikey());
    assert!(world.run(usize::MAX));
    world
}
