//! What to do about one key: [`plan`], a pure function of what was observed.
//!
//! It is total and deterministic: no client, no clock, no randomness. A plan without actions has the
//! final status; the same function is asked again after each success, so that "done" has one
//! meaning.

use std::sync::Arc;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::conditions::in_conflict_since;
use super::delivered::{Delivered, Owner};
use super::restore::{self, Missing};
use super::rotation::{self, NextSecret, Rotation};
use super::{handover, render, status};
use crate::api::conditions::reason;
use crate::api::{ApiKey, ApiKeyStatus, Organization};
use crate::credential::sealed::{BadRecipient, Recipients};
use crate::credential::verifier::{Document, Handover};
use crate::error::Error;
use crate::policy::{self, Assessment, Denial, OverQuota, Verdict};
use crate::watch::roster::Labels;
use crate::watch::stored::Verifier;

/// At most this many secrets replace removed ones ...
pub const MAX_REPLACEMENTS: usize = 3;
/// ... within this time; then the next one waits.
pub const REPLACEMENT_WINDOW: SignedDuration = SignedDuration::from_mins(10);
/// How long to wait before looking again at what may change without a word: the Secret of an earlier key,
/// and a key that is gone, of which no watch has told.
pub const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(60);
/// How long to wait before looking again at a Secret of somebody else, which is not watched: as long as it
/// has been in the way, between these.
pub const CONFLICT_LOOKS: [SignedDuration; 2] =
    [SignedDuration::from_secs(5), SignedDuration::from_secs(30)];
/// Longest wait: clocks jump, and timers count their own time.
pub const MAX_WAIT: SignedDuration = SignedDuration::from_hours(1);

/// Everything a decision depends on.
#[derive(Clone, Debug)]
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
    /// The verifier, if there is one.
    pub verifier: Option<Arc<Verifier>>,
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

/// What the operator was told at start.
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
    /// Read the verifier and the Secret from the API server: the caches suggest a rare step.
    Confirm,
    /// Mint a secret with a new public id and store what proves it as the first one of a new verifier.
    CreateVerifier {
        /// Expiry of the key, for good.
        expires_at: Timestamp,
    },
    /// Write the verifier as it is, with the labels that somebody changed.
    LabelVerifier,
    /// Mint another first secret in the place of one that nobody has, because its delivery was refused.
    MintAgain,
    /// Mint a secret and add what proves it to the pending entries.
    AppendPending(NextSecret),
    /// Put the secret that this run minted into the delivered Secret.
    Deliver {
        /// The Secret that must still be there in that version; `None`: none may be there.
        replaces: Option<Arc<Delivered>>,
    },
    /// Make the pending entry that the delivered Secret names the current one.
    Promote,
    /// Drop pending entries that are too old to be delivered any more.
    DropPending,
    /// Refuse the replaced secret from now on.
    DiscardPrevious,
    /// Refuse the current secret soon, whether or not a new one is delivered.
    EndCurrent,
    /// Remember where a secret is that is shown once.
    RecordHandover(Handover),
    /// Remove the delivered Secret in this very version.
    RemoveDelivered,
    /// Take everything out of the delivered Secret, which is being deleted and kept by a finalizer.
    EmptyDelivered,
    /// Set the template's labels and annotations and the token endpoint on the delivered Secret.
    ApplyTemplate,
    /// Make this key the owner of a delivered Secret from a backup.
    AdoptDelivered,
}

/// What to do and what to say.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Steps, in order. Empty: nothing is left to do.
    pub actions: Vec<Action>,
    /// The status of the key as observed.
    pub status: ApiKeyStatus,
    /// When to look again even if nothing changes; at most [`MAX_WAIT`] away.
    pub next: Timestamp,
}

impl Plan {
    /// Nothing is to do or to say of a key that is gone.
    fn of_deleted(observed: &Observed) -> Self {
        Self {
            actions: Vec::new(),
            status: observed.apikey.status.clone().unwrap_or_default(),
            next: observed.now.checked_add(LOOK_AGAIN).unwrap_or(observed.now),
        }
    }
}

/// How the key stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Situation {
    /// Its expiry has passed.
    Expired,
    /// Policy says no, for now or until a change.
    Denied(Denial, Retry),
    /// The verifier can't be read.
    VerifierUnreadable(String),
    /// The Secret's name is taken.
    SecretConflict,
    /// The Secret of an earlier key of the same name is still there.
    EarlierSecret,
    /// The Secret was removed too often.
    Holding(Timestamp),
    /// Too many secrets were minted lately and not delivered.
    Crowded(Timestamp),
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
    Awaited,
    /// Somebody's change.
    Changed,
}

/// The decision.
#[must_use]
pub fn plan(observed: &Observed) -> Plan {
    if observed.deleted {
        return Plan::of_deleted(observed);
    }
    let assessment = observed.assess();
    let (actions, situation) = decide(observed, &assessment);
    let status = status::compute(observed, &assessment, &situation);
    let next = next_look(observed, &assessment, &situation);
    Plan {
        actions,
        status,
        next,
    }
}

/// The status of the key when a step failed.
#[must_use]
pub fn status_after(observed: &Observed, error: &Error) -> ApiKeyStatus {
    let (retry, advice) = if error.is_invalid_object() {
        (Retry::Changed, "change the ApiKey")
    } else {
        (Retry::Awaited, "trying again")
    };
    let message = format!("{error}; {advice}");
    let situation = Situation::Failed {
        reason: error.reason(),
        message,
        retry,
    };
    status::compute(observed, &observed.assess(), &situation)
}

impl Observed {
    fn assess(&self) -> Assessment {
        policy::assess(&policy::Input {
            subject: policy::Subject::from(&*self.apikey),
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

    /// The verifier's document, if it is there and can be read.
    #[must_use]
    pub fn document(&self) -> Option<&Document> {
        self.verifier.as_ref()?.document.as_ref().ok()
    }

    /// The delivered Secret, if it is there and this key's.
    #[must_use]
    pub fn own_delivered(&self) -> Option<&Delivered> {
        let secret = self.delivered.as_deref()?;
        (secret.owner(&self.apikey) == Owner::ThisKey).then_some(secret)
    }

    /// Digest of the verifier entry that the key's own delivered Secret names.
    pub(super) fn named(&self) -> Option<&str> {
        self.own_delivered()?.names(&self.apikey)
    }

    /// Whose the Secret is that stands where the key delivers.
    pub(super) fn delivered_owner(&self) -> Option<Owner> {
        let secret = self.delivered.as_deref()?;
        Some(secret.owner(&self.apikey))
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

fn decide(observed: &Observed, assessment: &Assessment) -> (Vec<Action>, Situation) {
    let idle = |situation| (Vec::new(), situation);
    let restoring = observed.settings.restore;
    if let Some(action) = observed.document().and_then(|d| urgent(observed, d))
        && !restoring
    {
        return (vec![action], Situation::Working);
    }
    if assessment
        .expires_at
        .is_some_and(|expires_at| expires_at <= observed.now)
    {
        return idle(Situation::Expired);
    }
    match &assessment.verdict {
        Verdict::Waiting(denial) => return idle(Situation::Denied(denial.clone(), Retry::Awaited)),
        Verdict::Refused(denial) => return idle(Situation::Denied(denial.clone(), Retry::Changed)),
        Verdict::Allowed => {}
    }
    if let Err(bad) = Recipients::parse(observed.apikey.recipients()) {
        return idle(Situation::Denied(unusable_recipient(&bad), Retry::Changed));
    }
    if let Some(Err(error)) = observed
        .verifier
        .as_ref()
        .map(|verifier| &verifier.document)
    {
        return idle(Situation::VerifierUnreadable(error.to_string()));
    }
    if restoring {
        return restore::decide(observed);
    }
    if observed
        .verifier
        .as_ref()
        .is_some_and(|verifier| !verifier.is_labelled)
    {
        return (vec![Action::LabelVerifier], Situation::Working);
    }
    match observed.delivered_owner() {
        Some(Owner::Nobody | Owner::Other) => return idle(Situation::SecretConflict),
        Some(Owner::EarlierKey) => return idle(Situation::EarlierSecret),
        Some(Owner::ThisKey) | None => {}
    }
    let Some(document) = observed.document() else {
        return first_mint(observed, assessment);
    };
    if document.withdrawn {
        return (
            vec![Action::MintAgain, deliver(observed)],
            Situation::Working,
        );
    }
    let taken = document.handover.is_over();
    let named = observed.named();
    let holds_current = named == Some(&document.current.digest());
    if named.is_some_and(|named| document.pending(named).is_some()) {
        return (vec![Action::Promote], Situation::Working);
    }
    if document
        .pending_until()
        .is_some_and(|until| until <= observed.now)
    {
        // What is delivered may be one of them, if the cache is as old as they are.
        let confirmed = observed.confirmed;
        let action = if confirmed {
            Action::DropPending
        } else {
            Action::Confirm
        };
        return (vec![action], Situation::Working);
    }
    if !taken && !holds_current {
        return rotation::replace(observed, document);
    }
    if let Rotation::Due(next) = rotation::rotation(observed, document) {
        return rotation::steps(observed, document, next);
    }
    upkeep(observed, document)
}

/// What waits for no policy.
fn urgent(observed: &Observed, document: &Document) -> Option<Action> {
    let previous = document.accepted_previous(observed.now);
    let discarded = observed.apikey.discarded_revision();
    if previous.is_some_and(|(previous, _)| Some(previous.revision) == discarded) {
        return Some(Action::DiscardPrevious);
    }
    if rotation::is_to_end(observed, document) {
        return Some(Action::EndCurrent);
    }
    handover::step(observed, document)
}

fn unusable_recipient(bad: &BadRecipient) -> Denial {
    Denial {
        reason: reason::INVALID_SPEC,
        message: format!("`secret.recipients`: {bad}"),
    }
}

fn first_mint(observed: &Observed, assessment: &Assessment) -> (Vec<Action>, Situation) {
    // The status is a hint to look twice, and no more: whoever may write it could name another's id.
    let known = observed.apikey.status.as_ref();
    let had_one = known.is_some_and(|status| status.key_id.is_some());
    if (had_one || observed.delivered.is_some()) && !observed.confirmed {
        return (vec![Action::Confirm], Situation::Working);
    }
    let Some(expires_at) = assessment.expires_at else {
        return (Vec::new(), Situation::Working);
    };
    let create = Action::CreateVerifier { expires_at };
    (vec![create, deliver(observed)], Situation::Working)
}

/// Delivery in the place of what stands there, if that is the key's own.
pub(super) fn deliver(observed: &Observed) -> Action {
    let own = observed.own_delivered();
    Action::Deliver {
        replaces: own.and(observed.delivered.clone()),
    }
}

/// What is left when the current secret is delivered.
pub(super) fn upkeep(observed: &Observed, document: &Document) -> (Vec<Action>, Situation) {
    let token_url = observed.settings.token_url.as_deref();
    if let Some(secret) = observed.own_delivered() {
        if !observed.template_applied && render::needs_template(&observed.apikey, secret, token_url)
        {
            return (vec![Action::ApplyTemplate], Situation::Working);
        }
    }
    if document.handover == Handover::Unclaimed {
        return (Vec::new(), Situation::Unclaimed);
    }
    (Vec::new(), Situation::Usable)
}

fn conflict_wait(observed: &Observed) -> SignedDuration {
    let known = in_conflict_since(&observed.apikey);
    let waited = known.map(|since| observed.now.duration_since(since));
    let [least, most] = CONFLICT_LOOKS;
    waited.unwrap_or_default().clamp(least, most)
}

fn next_look(observed: &Observed, assessment: &Assessment, situation: &Situation) -> Timestamp {
    let after = |wait| observed.now.checked_add(wait).ok();
    let document = observed.document();
    let moments = [
        after(MAX_WAIT),
        assessment.expires_at,
        status::expiring_soon_from(&observed.apikey, assessment.expires_at),
        document
            .and_then(|d| d.accepted_previous(observed.now))
            .map(|(_, end)| end),
        document.and_then(Document::pending_until),
        document.and_then(|d| rotation::scheduled_at(&observed.apikey, d, observed.now)),
        handover::claim_until(observed),
        match situation {
            Situation::Holding(until) | Situation::Crowded(until) => Some(*until),
            Situation::SecretConflict => after(conflict_wait(observed)),
            Situation::EarlierSecret => after(LOOK_AGAIN),
            Situation::AwaitingRestore(_) => after(restore::LOOK_AGAIN),
            Situation::Working
            | Situation::Usable
            | Situation::Unclaimed
            | Situation::Expired
            | Situation::Denied(..)
            | Situation::Failed { .. }
            | Situation::VerifierUnreadable(_) => None,
        },
    ];
    let future = moments
        .into_iter()
        .flatten()
        .filter(|moment| *moment > observed.now);
    future.min().unwrap_or(observed.now)
}

#[cfg(test)]
mod tests;
