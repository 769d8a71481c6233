//! Decides what to do about one key: [`plan`], a pure function of the observation.
//!
//! `plan` is total and deterministic: it uses no client, no clock and no randomness. The controller
//! calls it again after each success. A plan without actions means that nothing is left to do, and
//! it has the final status.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::facts::{Facts, Rotation, in_conflict_since};
use super::model::{Action, Observed, Proof, Retry, Situation};
use super::upkeep::upkeep;
use super::{claim, restore, rotation, status};
use crate::controller::delivered::Ownership;
use apikey_api::ApiKeyStatus;
use apikey_api::conditions::reason;
use apikey_client::error::Error;
use apikey_credential::record::CredentialRecord;
use apikey_credential::sealed::{BadRecipient, Recipients};
use apikey_policy::{Assessment, Denial, Verdict};

/// Wait before the next look at a deleted key whose deletion no watch has reported yet.
pub const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(60);
/// Shortest and longest wait before the next look at a Secret of somebody else or of an earlier
/// key, which may not be watched. In between, the wait is as long as the conflict has lasted.
pub const CONFLICT_LOOKS: [SignedDuration; 2] =
    [SignedDuration::from_secs(5), SignedDuration::from_secs(30)];
/// Longest wait, because a timer does not notice when the clock is set.
pub const MAX_WAIT: SignedDuration = SignedDuration::from_hours(1);

/// The next steps and the status.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Steps, in order. If there is none, nothing is left to do.
    pub actions: Vec<Action>,
    /// The status of the key as observed.
    pub status: ApiKeyStatus,
    /// When to reconcile again even if nothing changes. At most [`MAX_WAIT`] ahead.
    pub next: Timestamp,
}

impl Plan {
    /// A deleted key gets no steps, and keeps its status.
    fn of_deleted(observed: &Observed) -> Self {
        Self {
            actions: Vec::new(),
            status: observed.apikey.status.clone().unwrap_or_default(),
            next: observed.now.checked_add(LOOK_AGAIN).unwrap_or(observed.now),
        }
    }
}

/// Decides the next steps and the status.
#[must_use]
pub fn plan(observed: &Observed) -> Plan {
    if observed.deleted {
        return Plan::of_deleted(observed);
    }
    let facts = Facts::of(observed);
    let (actions, situation) = decide(&facts);
    let status = status::compute(&facts, &situation);
    let next = next_look(&facts, &situation);
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
        (Retry::AwaitChange, "change the ApiKey")
    } else {
        (Retry::Requeue, "trying again")
    };
    let message = format!("{error}; {advice}");
    let situation = Situation::Failed {
        reason: error.reason(),
        message,
        retry,
    };
    status::compute(&Facts::of(observed), &situation)
}

fn decide(facts: &Facts<'_>) -> (Vec<Action>, Situation) {
    let Facts {
        observed,
        assessment,
        ..
    } = facts;
    let idle = |situation| (Vec::new(), situation);
    let restoring = observed.settings.restore;
    if let Some(action) = observed.document().and_then(|d| urgent(facts, d))
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
        Verdict::Waiting(denial) => return idle(Situation::Denied(denial.clone(), Retry::Requeue)),
        Verdict::Refused(denial) => {
            return idle(Situation::Denied(denial.clone(), Retry::AwaitChange));
        }
        Verdict::Allowed => {}
    }
    if let Err(bad) = Recipients::parse(observed.apikey.recipients()) {
        return idle(Situation::Denied(
            unusable_recipient(&bad),
            Retry::AwaitChange,
        ));
    }
    if let Some(Err(error)) = observed.record.as_ref().map(|record| &record.document) {
        return idle(Situation::RecordUnreadable(error.to_string()));
    }
    if restoring {
        return restore::decide(facts);
    }
    if observed
        .record
        .as_ref()
        .is_some_and(|record| !record.is_labelled)
    {
        return (vec![Action::LabelRecord], Situation::Working);
    }
    match observed.delivered_owner() {
        Some(Ownership::Nobody | Ownership::Other) => return idle(Situation::SecretConflict),
        Some(Ownership::EarlierKey) => return idle(Situation::EarlierSecret),
        Some(Ownership::ThisKey) | None => {}
    }
    let Some(document) = observed.document() else {
        return first_mint(observed, assessment);
    };
    if document.withdrawn {
        return (vec![observed.issue(Proof::FirstAgain)], Situation::Working);
    }
    let taken = document.claim.is_over();
    let named = observed.named();
    if named.is_some_and(|named| document.pending(named).is_some()) {
        return (vec![Action::Promote], Situation::Working);
    }
    if document
        .pending_until()
        .is_some_and(|until| until <= observed.now)
    {
        // One of them may have been delivered: the cache may be too old to show it.
        let confirmed = observed.confirmed;
        let action = if confirmed {
            Action::DropPending
        } else {
            Action::Confirm
        };
        return (vec![action], Situation::Working);
    }
    if !taken && !facts.is_delivered {
        return rotation::replace(facts, document);
    }
    if let Some(Rotation::Due(next)) = &facts.rotation {
        return rotation::steps(observed, document, next.clone());
    }
    upkeep(observed, document)
}

/// The next step that does not depend on policy, if there is one.
fn urgent(facts: &Facts<'_>, document: &CredentialRecord) -> Option<Action> {
    let observed = facts.observed;
    let discarded = observed.apikey.discarded_revision();
    let previous = facts.previous.map(|(previous, _)| previous.revision);
    if previous.is_some() && previous == discarded {
        return Some(Action::DiscardPrevious);
    }
    if rotation::is_to_end(facts, document) {
        return Some(Action::EndCurrent);
    }
    claim::step(facts, document)
}

fn unusable_recipient(bad: &BadRecipient) -> Denial {
    Denial {
        reason: reason::INVALID_SPEC,
        message: format!("`secret.recipients`: {bad}"),
    }
}

fn first_mint(observed: &Observed, assessment: &Assessment) -> (Vec<Action>, Situation) {
    // The status only causes a second look. Others may write it, and could name the id of another
    // key.
    let known = observed.apikey.status.as_ref();
    let had_one = known.is_some_and(|status| status.key_id.is_some());
    if (had_one || observed.delivered.is_some()) && !observed.confirmed {
        return (vec![Action::Confirm], Situation::Working);
    }
    let Some(expires_at) = assessment.expires_at else {
        return (Vec::new(), Situation::Working);
    };
    let first = observed.issue(Proof::First { expires_at });
    (vec![first], Situation::Working)
}

fn conflict_wait(observed: &Observed) -> SignedDuration {
    let known = in_conflict_since(&observed.apikey);
    let waited = known.map(|since| observed.now.duration_since(since));
    let [least, most] = CONFLICT_LOOKS;
    waited.unwrap_or_default().clamp(least, most)
}

fn next_look(facts: &Facts<'_>, situation: &Situation) -> Timestamp {
    let observed = facts.observed;
    let after = |wait| observed.now.checked_add(wait).ok();
    let document = observed.document();
    let moments = [
        after(MAX_WAIT),
        facts.assessment.expires_at,
        facts.expiring_soon_from,
        facts.previous.map(|(_, end)| end),
        document.and_then(CredentialRecord::pending_until),
        facts.scheduled_at,
        facts.claim_until,
        match situation {
            Situation::ReplacementBackoff(until) | Situation::PendingLimitReached(until) => {
                Some(*until)
            }
            Situation::SecretConflict | Situation::EarlierSecret => after(conflict_wait(observed)),
            Situation::AwaitingRestore(_) => after(restore::LOOK_AGAIN),
            Situation::Working
            | Situation::Usable
            | Situation::Unclaimed
            | Situation::Expired
            | Situation::Denied(..)
            | Situation::Failed { .. }
            | Situation::RecordUnreadable(_) => None,
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
