//! What Events and audit lines reported last about each key.
//!
//! # Guarantees
//!
//! - A change is detected by comparison with what this process has reported, never with the stored
//!   status, which others may write.
//! - Only the stored status shows what was reported before this leadership. It is used once, at the
//!   first reconcile of a key, and only where the credential record does not contradict it.
//!
//! # Caveats
//!
//! Somebody who writes the status while no controller leads can falsify one line for each key,
//! cause other lines to repeat, and hide a change of that time, such as one of the roles.

use k8s_openapi::jiff::Timestamp;

use crate::audit::Action;
use crate::controller::events::Severity;
use apikey_api::conditions::{self, DELIVERED, EXPIRING_SOON, READY, SUSPENDED, reason};
use apikey_api::text::printable;
use apikey_api::{ApiKeyStatus, Phase, PreviousSecret};
use apikey_credential::KeyId;
use apikey_credential::record::{CredentialRecord, FIRST_REVISION};

/// What was reported last about one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    /// Whether all this comes from a stored status, which others may write.
    pub(super) is_unverified: bool,
    /// Its public id, if it was issued.
    pub(super) key_id: Option<KeyId>,
    /// Its e-mail address, once a credential record has been read.
    pub(super) email: Option<Box<str>>,
    /// Generation of the spec.
    pub(super) generation: i64,
    /// Revision of the current secret.
    pub(super) revision: i64,
    /// Whether one of its secrets has been delivered.
    pub(super) was_delivered: bool,
    /// The replaced secret, while it is accepted.
    pub(super) previous: Option<Previous>,
    /// Roles in force.
    pub(super) roles: Roles,
    /// Whether it is suspended.
    pub(super) is_suspended: bool,
    /// How near its expiry is.
    pub(super) expiry: Expiry,
    /// The outcome of the delivery, if it was reported; see [`DELIVERY_OUTCOMES`].
    pub(super) outcome: Option<&'static str>,
    /// Why it was refused.
    pub(super) refusal: Option<&'static str>,
}

/// How near the expiry of a key is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Expiry {
    #[default]
    Ahead,
    Near,
    Passed,
}

impl Expiry {
    pub(super) fn of(status: &ApiKeyStatus) -> Self {
        if status.phase == Some(Phase::Expired) {
            Self::Passed
        } else if conditions::is_true(&status.conditions, EXPIRING_SOON) {
            Self::Near
        } else {
            Self::Ahead
        }
    }
}

/// A replaced secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Previous {
    pub(super) revision: i64,
    pub(super) valid_until: Timestamp,
}

/// Roles in one allocation, one per line. No role has a line break.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Roles(Box<str>);

impl Roles {
    pub(super) fn of(roles: &[String]) -> Self {
        let printable: Vec<_> = roles.iter().map(|role| printable(role)).collect();
        Self(printable.join("\n").into())
    }

    pub(super) fn to_vec(&self) -> Vec<String> {
        self.0.lines().map(str::to_owned).collect()
    }
}

impl Reported {
    /// What was reported before this leadership: the stored status, where the credential record
    /// does not contradict it. The record must be as it was before this reconcile wrote anything.
    #[must_use]
    pub fn stored(
        status: &ApiKeyStatus,
        document: Option<&CredentialRecord>,
        now: Timestamp,
    ) -> Self {
        let revision = status.revision.unwrap_or(FIRST_REVISION);
        let delivered = document.map(|document| document.current.revision);
        let claimed = status.previous_secret.as_ref();
        let claimed = document.zip(claimed).and_then(shown);
        Self {
            is_unverified: true,
            key_id: status.key_id.as_deref().and_then(|id| id.try_into().ok()),
            revision: delivered.map_or(revision, |delivered| revision.min(delivered)),
            previous: claimed.or_else(|| accepted(document?, now)),
            ..Self::of_status(status)
        }
    }

    /// What will have been reported after the change to this status is reported.
    #[must_use]
    pub fn next(
        &self,
        status: &ApiKeyStatus,
        document: Option<&CredentialRecord>,
        now: Timestamp,
    ) -> Self {
        let next = Self::of_status(status);
        match document {
            Some(document) => Self {
                key_id: Some(document.key_id.clone()),
                email: Some(document.email.as_str().into()),
                revision: document.current.revision,
                was_delivered: next.was_delivered
                    || self.was_delivered && self.key_id.as_ref() == Some(&document.key_id),
                previous: accepted(document, now),
                ..next
            },
            // The credential record is missing or can't be read.
            None => Self {
                key_id: self.key_id.clone(),
                email: self.email.clone(),
                revision: self.revision,
                was_delivered: self.was_delivered,
                previous: self.previous,
                outcome: self.outcome,
                ..next
            },
        }
    }

    /// The part that does not depend on a credential record.
    fn of_status(status: &ApiKeyStatus) -> Self {
        Self {
            generation: status.observed_generation,
            was_delivered: conditions::is_true(&status.conditions, DELIVERED),
            roles: Roles::of(&status.roles),
            is_suspended: conditions::is_true(&status.conditions, SUSPENDED),
            expiry: Expiry::of(status),
            outcome: delivery_outcome(status).map(|(reason, ..)| reason),
            refusal: refusal(status),
            ..Self::default()
        }
    }
}

/// The replaced secret that a status shows as accepted, if the record has or had it.
fn shown((record, claimed): (&CredentialRecord, &PreviousSecret)) -> Option<Previous> {
    let replaced = record.previous.as_ref();
    let replaced = replaced.filter(|entry| entry.revision == claimed.revision);
    let was_discarded = record.discarded_revision == Some(claimed.revision);
    let valid_until = match replaced {
        Some(entry) => entry.valid_until.as_ref()?.0,
        None => claimed.valid_until.0,
    };
    (replaced.is_some() || was_discarded).then_some(Previous {
        revision: claimed.revision,
        valid_until,
    })
}

fn accepted(record: &CredentialRecord, now: Timestamp) -> Option<Previous> {
    let (entry, valid_until) = record.accepted_previous(now)?;
    Some(Previous {
        revision: entry.revision,
        valid_until,
    })
}

/// The reasons of condition `Delivered` that Events or audit lines report.
const DELIVERY_OUTCOMES: [(&str, Severity, Option<Action>); 4] = [
    (reason::DELIVERY_HELD_UP, Severity::Warning, None),
    (reason::REVEALED, Severity::Normal, Some(Action::Reveal)),
    (
        reason::CLAIM_EXPIRED,
        Severity::Warning,
        Some(Action::Withdraw),
    ),
    (reason::SECRET_REMOVED, Severity::Warning, None),
];

/// The outcome of the delivery, if this status has one to report.
pub(super) fn delivery_outcome(
    status: &ApiKeyStatus,
) -> Option<(&'static str, Severity, Option<Action>)> {
    let delivered = conditions::find(&status.conditions, DELIVERED)?;
    DELIVERY_OUTCOMES
        .into_iter()
        .find(|(reason, ..)| *reason == delivered.reason)
}

/// The reason why the key is not ready, if Events report this reason.
pub(super) fn refusal(status: &ApiKeyStatus) -> Option<&'static str> {
    const PUBLISHED: [&str; 13] = [
        reason::SECRET_CONFLICT,
        reason::SECRET_REMOVED_REPEATEDLY,
        reason::VERIFIER_UNREADABLE,
        reason::ORGANIZATION_NOT_FOUND,
        reason::PARENT_NOT_FOUND,
        reason::PARENT_NOT_ROOT,
        reason::NAMESPACE_NOT_ALLOWED,
        reason::UNKNOWN_ROLE,
        reason::AUDIENCE_NOT_ALLOWED,
        reason::LIFETIME_TOO_LONG,
        reason::QUOTA_EXCEEDED,
        reason::INVALID_SPEC,
        reason::PROGRESSING_WITH_RETRY,
    ];
    let ready = conditions::find(&status.conditions, READY)?;
    (ready.status == "False")
        .then(|| PUBLISHED.into_iter().find(|reason| *reason == ready.reason))
        .flatten()
}
