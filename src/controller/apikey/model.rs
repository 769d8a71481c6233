//! The types of a decision about one key: the observation, the steps, the situations. Pure.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use crate::controller::delivered::{Delivered, Ownership};
use crate::watch::stored::StoredRecord;
use apikey_api::{ApiKey, Organization};
use apikey_credential::record::{Cause, Claim, CredentialRecord};
use apikey_policy::quota_index::Labels;
use apikey_policy::{Assessment, Denial, OverQuota};

/// Everything that a decision depends on.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the flags are independent, and every combination is valid"
)]
pub struct Observed {
    /// The key.
    pub apikey: Arc<ApiKey>,
    /// Its Organization, if declared.
    pub organization: Option<Arc<Organization>>,
    /// The parent of that Organization, if it names one and that is declared.
    pub parent: Option<Arc<Organization>>,
    /// Name of the Organization that can't be read, if one of these two can't.
    pub unreadable: Option<String>,
    /// The organizations in `spec.subOrgs` that are declared.
    pub sub_organizations: Vec<Arc<Organization>>,
    /// Labels of the namespace, if they are known.
    pub namespace_labels: Option<Labels>,
    /// The quota that this key would exceed, if there is one.
    pub over_quota: Option<OverQuota>,
    /// The credential record, if there is one.
    pub record: Option<Arc<StoredRecord>>,
    /// Metadata of the Secret with the name that the key delivers to, if it exists.
    pub delivered: Option<Arc<Delivered>>,
    /// Whether `record` and `delivered` were read from the API server and not from a cache.
    pub confirmed: bool,
    /// Whether the API server reports the key as deleted or as being deleted. A cache may still
    /// have it.
    pub deleted: bool,
    /// Whether this reconcile applied the template. An admission policy causes any difference that
    /// remains.
    pub template_applied: bool,
    /// Whether this reconcile failed to empty a Secret that is being deleted.
    pub unemptied: bool,
    /// When secrets were recently replaced, oldest first.
    pub replacements: Vec<Timestamp>,
    /// Settings of the operator.
    pub settings: Settings,
    /// The time of the decision.
    pub now: Timestamp,
}

/// Settings that decisions depend on.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether undeclared organizations are refused.
    pub require_organizations: bool,
    /// Whether keys are adopted from a backup. Then nothing is minted and nothing is removed.
    pub restore: bool,
    /// Domain of e-mail addresses.
    pub email_domain: Arc<str>,
    /// Address of the token endpoint for consumers, if it is known.
    pub token_url: Option<Arc<str>>,
}

/// One step. The executor stops at the first step that fails.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Read the credential record and the Secret from the API server, before a rare step.
    Confirm,
    /// Mint a secret, store its entry in the credential record, and write it to the delivered
    /// Secret.
    Issue {
        /// Where its entry is stored.
        proof: Proof,
        /// The Secret to replace, in exactly this version. `None`: no Secret of that name may
        /// exist.
        replaces: Option<Arc<Delivered>>,
    },
    /// Write the credential record unchanged, to put back the labels that somebody changed.
    LabelRecord,
    /// Promote the pending entry that the delivered Secret names. It becomes the current entry.
    Promote,
    /// Remove the pending entries that are too old to be delivered.
    DropPending,
    /// Refuse the replaced secret from now on.
    DiscardPrevious,
    /// Give the current secret an end soon, whether or not a new one is delivered by then.
    EndCurrent,
    /// Record the claim state of a secret that is shown once.
    RecordClaim(Claim),
    /// Remove the delivered Secret, in exactly the version that was observed.
    RemoveDelivered,
    /// Remove all data from the delivered Secret. It is being deleted, and a finalizer keeps it.
    EmptyDelivered,
    /// Put back the labels by which the delivered Secret is watched.
    LabelDelivered,
    /// Set the template's labels and annotations and the token endpoint on the delivered Secret.
    ApplyTemplate,
    /// Make this key the owner of a delivered Secret from a backup.
    AdoptDelivered,
}

/// Where the entry of a minted secret is stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Proof {
    /// As the first entry of a new credential record, under a new public id.
    First {
        /// Expiry of the key, which never changes afterwards.
        expires_at: Timestamp,
    },
    /// As the first entry again. It replaces one whose delivery was refused, so nobody has the
    /// secret of that entry.
    FirstAgain,
    /// As a pending entry of the credential record.
    Pending(NextSecret),
}

/// A further secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextSecret {
    /// Its revision.
    pub revision: i64,
    /// Why it is minted.
    pub cause: Cause,
    /// The request that it answers.
    pub request: Option<String>,
    /// How long the secret that it replaces stays accepted.
    pub overlap_seconds: u32,
}

/// What a restored key lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Its credential record.
    Record,
    /// Its delivered Secret.
    Delivered,
    /// A delivered Secret that matches the credential record.
    Match,
}

/// The situation of a key, which decides its conditions.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Situation {
    /// Its expiry has passed.
    Expired,
    /// Policy refuses the key.
    Denied(Denial, Retry),
    /// The credential record can't be read.
    RecordUnreadable(String),
    /// A Secret of somebody else has the name.
    SecretConflict,
    /// The Secret of an earlier key of the same name is still there.
    EarlierSecret,
    /// The Secret was removed or changed too often.
    ReplacementBackoff(Timestamp),
    /// Too many recently minted secrets were not delivered.
    PendingLimitReached(Timestamp),
    /// Nobody claimed a secret that is shown once.
    Unclaimed,
    /// Keys are being restored, and an object of this key is missing.
    AwaitingRestore(Missing),
    /// A step failed.
    Failed {
        reason: &'static str,
        message: String,
        retry: Retry,
    },
    /// Steps remain.
    Working,
    /// No steps remain.
    Usable,
}

/// What can end a refusal or a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// A retry may succeed.
    Requeue,
    /// Somebody must change something.
    AwaitChange,
}

impl Observed {
    /// What policy decides about the key.
    pub(super) fn assess(&self) -> Assessment {
        apikey_policy::assess(&apikey_policy::Input {
            subject: apikey_policy::Subject::from(&*self.apikey),
            organization: self.organization.as_deref(),
            parent: self.parent.as_deref(),
            unreadable: self.unreadable.as_deref(),
            sub_organizations: &self.sub_organizations,
            namespace_labels: self.namespace_labels.as_deref(),
            over_quota: self.over_quota.as_ref(),
            fixed_expiry: self.document().map(|document| document.expires_at.0),
            require_organizations: self.settings.require_organizations,
        })
    }

    /// The content of the credential record, if it exists and can be read.
    #[must_use]
    pub fn document(&self) -> Option<&CredentialRecord> {
        self.record.as_ref()?.document.as_ref().ok()
    }

    /// The delivered Secret, if it exists and belongs to this key.
    #[must_use]
    pub fn own_delivered(&self) -> Option<&Delivered> {
        let secret = self.delivered.as_deref()?;
        (secret.owner(&self.apikey) == Ownership::ThisKey).then_some(secret)
    }

    /// Digest of the entry of the credential record that the key's own delivered Secret names.
    pub(super) fn named(&self) -> Option<&str> {
        self.own_delivered()?.names(&self.apikey)
    }

    /// The owner of the Secret with the name that the key delivers to.
    pub(super) fn delivered_owner(&self) -> Option<Ownership> {
        let secret = self.delivered.as_deref()?;
        Some(secret.owner(&self.apikey))
    }

    /// The step that mints a secret. It replaces the delivered Secret if that belongs to the key.
    pub(super) fn issue(&self, proof: Proof) -> Action {
        let is_own = self.own_delivered().is_some();
        Action::Issue {
            proof,
            replaces: self.delivered.clone().filter(|_| is_own),
        }
    }

    /// Whether the current secret ends before the key expires, because a new one was requested
    /// without an overlap.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        let document = self.document();
        document.is_some_and(|document| document.current_until().is_some())
    }

    /// Whether the delivered Secret holds the current secret.
    #[must_use]
    pub fn is_delivered(&self) -> bool {
        self.document()
            .is_some_and(|document| self.named() == Some(&document.current.digest()))
    }
}
