//! What a decision about one key is made of: what was observed, the steps, the situations. Pure.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use super::delivered::{Delivered, Ownership};
use crate::watch::stored::StoredRecord;
use apikey_api::{ApiKey, Organization};
use apikey_credential::record::{Cause, Claim, CredentialRecord};
use apikey_policy::quota_index::Labels;
use apikey_policy::{Assessment, Denial, OverQuota};

/// Everything a decision depends on.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and any of them may go together"
)]
pub struct Observed {
    /// The key.
    pub apikey: Arc<ApiKey>,
    /// Its Organization, if declared.
    pub organization: Option<Arc<Organization>>,
    /// The parent of that Organization, if it names one and that is declared.
    pub parent: Option<Arc<Organization>>,
    /// Name of the Organization that can't be read, of these two, if one can't.
    pub unreadable: Option<String>,
    /// The declared ones of the organizations in `spec.subOrgs`.
    pub sub_organizations: Vec<Arc<Organization>>,
    /// Labels of the namespace, if they are known.
    pub namespace_labels: Option<Labels>,
    /// The quota that leaves no place, if one does.
    pub over_quota: Option<OverQuota>,
    /// The credential record, if there is one.
    pub record: Option<Arc<StoredRecord>>,
    /// Metadata of the Secret that stands where the key delivers, if one does.
    pub delivered: Option<Arc<Delivered>>,
    /// Whether the last two were read from the API server rather than from a cache.
    pub confirmed: bool,
    /// Whether the API server says that the key is gone or going, though a cache still has it.
    pub deleted: bool,
    /// Whether this run applied the template: what differs since is the doing of an admission policy.
    pub template_applied: bool,
    /// Whether this run could not empty a Secret that is being deleted.
    pub unemptied: bool,
    /// When secrets were replaced lately, oldest first.
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
    /// Whether keys are taken over from a backup: nothing is minted, nothing is removed.
    pub restore: bool,
    /// Domain of e-mail addresses.
    pub email_domain: Arc<str>,
    /// Address of the token endpoint for consumers, if it is known.
    pub token_url: Option<Arc<str>>,
}

/// One step. Steps are taken in order; the first failure ends the run.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Read the credential record and the Secret from the API server: the caches suggest a rare step.
    Confirm,
    /// Mint a secret, store what proves it, and put it into the delivered Secret.
    Issue {
        /// Where what proves it is stored.
        proof: Proof,
        /// The Secret that must still be there in that version; `None`: none may be there.
        replaces: Option<Arc<Delivered>>,
    },
    /// Write the credential record as it is, with the labels that somebody changed.
    LabelRecord,
    /// Make the pending entry that the delivered Secret names the current one.
    Promote,
    /// Drop pending entries that are too old to be delivered any more.
    DropPending,
    /// Refuse the replaced secret from now on.
    DiscardPrevious,
    /// Refuse the current secret soon, whether or not a new one is delivered.
    EndCurrent,
    /// Remember where a secret is that is shown once.
    RecordClaim(Claim),
    /// Remove the delivered Secret in this very version.
    RemoveDelivered,
    /// Take everything out of the delivered Secret, which is being deleted and kept by a finalizer.
    EmptyDelivered,
    /// Put back the labels by which the delivered Secret is watched.
    LabelDelivered,
    /// Set the template's labels and annotations and the token endpoint on the delivered Secret.
    ApplyTemplate,
    /// Make this key the owner of a delivered Secret from a backup.
    AdoptDelivered,
}

/// Where what proves a minted secret is stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Proof {
    /// As the first entry of a new credential record, under a new public id.
    First {
        /// Expiry of the key, for good.
        expires_at: Timestamp,
    },
    /// As another first entry in the place of one whose delivery was refused, so that nobody has its secret.
    FirstAgain,
    /// As a pending entry.
    Pending(NextSecret),
}

/// A further secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextSecret {
    /// Its number.
    pub revision: i64,
    /// Why it is minted.
    pub cause: Cause,
    /// The request that it answers.
    pub request: Option<String>,
    /// How long the secret that it replaces stays accepted.
    pub overlap_seconds: u32,
}

/// What of a key is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// What proves its secrets.
    Record,
    /// Its delivered Secret.
    Delivered,
    /// A delivered Secret that fits to the credential record.
    Match,
}

/// How the key stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Situation {
    /// Its expiry has passed.
    Expired,
    /// Policy says no, for now or until a change.
    Denied(Denial, Retry),
    /// The credential record can't be read.
    RecordUnreadable(String),
    /// The Secret's name is taken.
    SecretConflict,
    /// The Secret of an earlier key of the same name is still there.
    EarlierSecret,
    /// The Secret was removed too often.
    ReplacementBackoff(Timestamp),
    /// Too many secrets were minted lately and not delivered.
    PendingLimitReached(Timestamp),
    /// Nobody claimed a secret that is shown once.
    Unclaimed,
    /// Keys are being restored, and something of this one is not there.
    AwaitingRestore(Missing),
    /// A step failed.
    Failed {
        reason: &'static str,
        message: String,
        retry: Retry,
    },
    /// Something is left to do.
    Working,
    /// All is done.
    Usable,
}

/// What ends a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// Something that may come by itself.
    Requeue,
    /// Somebody's change.
    AwaitChange,
}

impl Observed {
    /// What policy says of the key.
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

    /// The content of the credential record, if it is there and can be read.
    #[must_use]
    pub fn document(&self) -> Option<&CredentialRecord> {
        self.record.as_ref()?.document.as_ref().ok()
    }

    /// The delivered Secret, if it is there and this key's.
    #[must_use]
    pub fn own_delivered(&self) -> Option<&Delivered> {
        let secret = self.delivered.as_deref()?;
        (secret.owner(&self.apikey) == Ownership::ThisKey).then_some(secret)
    }

    /// Digest of the entry of the credential record that the key's own delivered Secret names.
    pub(super) fn named(&self) -> Option<&str> {
        self.own_delivered()?.names(&self.apikey)
    }

    /// Whose the Secret is that stands where the key delivers.
    pub(super) fn delivered_owner(&self) -> Option<Ownership> {
        let secret = self.delivered.as_deref()?;
        Some(secret.owner(&self.apikey))
    }

    /// A secret in the place of the Secret that is there, if it is the key's own.
    pub(super) fn issue(&self, proof: Proof) -> Action {
        let is_own = self.own_delivered().is_some();
        Action::Issue {
            proof,
            replaces: self.delivered.clone().filter(|_| is_own),
        }
    }

    /// Whether the current secret has an end before that of the key, because a new one was asked for in its
    /// place.
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
