//! The steps to a further secret. Pure.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::facts::Facts;
use super::model::{Action, NextSecret, Observed, Proof, Situation};
use apikey_api::ApiKey;
use apikey_credential::record::{Cause, CredentialRecord};

/// Maximum number of secrets that replace removed ones within [`REPLACEMENT_WINDOW`]. After that
/// the next one waits.
pub const MAX_REPLACEMENTS: usize = 3;
/// See [`MAX_REPLACEMENTS`].
pub const REPLACEMENT_WINDOW: SignedDuration = SignedDuration::from_mins(10);
/// Time from a request without an overlap to the end of the secret that it replaces. Normally the
/// new secret is delivered long before that end.
pub const END_WITHIN: SignedDuration = SignedDuration::from_secs(10);

/// The rotation request in the annotations, answered or not.
pub(super) fn request(apikey: &ApiKey) -> Option<String> {
    let request = apikey.rotate_request().ok().flatten();
    request.map(|request| request.token)
}

/// Whether an unanswered request without an overlap requires an end of the current secret, and it
/// has none yet. The end is written before anything else, so that the old secret ends even if the
/// delivery of a new one fails.
pub(super) fn is_to_end(facts: &Facts<'_>, document: &CredentialRecord) -> bool {
    let request = facts.unanswered.as_ref();
    request.is_some_and(|request| request.overlap_seconds == 0)
        && document.current_until().is_none()
        && facts.observed.now < document.expires_at.0
}

/// The document in which the current secret ends soon, and so do the pending ones, which may have
/// been delivered already.
#[must_use]
pub fn ending(document: &CredentialRecord, now: Timestamp) -> CredentialRecord {
    document.ending_at(now.checked_add(END_WITHIN).unwrap_or(now))
}

/// The steps to a further secret: store its entry, deliver it, and then promote it.
pub(super) fn steps(
    observed: &Observed,
    document: &CredentialRecord,
    next: NextSecret,
) -> (Vec<Action>, Situation) {
    if let Some(until) = document.room_from() {
        return (Vec::new(), Situation::PendingLimitReached(until));
    }
    let issue = observed.issue(Proof::Pending(next));
    (vec![issue, Action::Promote], Situation::Working)
}

/// The steps if the delivered value is missing or is not the current secret: a new secret replaces
/// it.
pub(super) fn replace(facts: &Facts<'_>, document: &CredentialRecord) -> (Vec<Action>, Situation) {
    let observed = facts.observed;
    if !observed.confirmed {
        return (vec![Action::Confirm], Situation::Working);
    }
    // The replacement also answers a pending request, with the overlap of that request.
    let request = facts.unanswered.as_ref();
    let is_requested = request.is_some() || observed.is_ending();
    if let Some(until) = backoff_until(observed).filter(|_| !is_requested) {
        return (Vec::new(), Situation::ReplacementBackoff(until));
    }
    let overlap = request.map(|request| request.overlap_seconds);
    let next = NextSecret {
        revision: document.next_revision(),
        cause: Cause::Replacement,
        request: request.map(|request| request.token.clone()),
        overlap_seconds: overlap.unwrap_or_else(|| observed.apikey.overlap_seconds()),
    };
    steps(observed, document, next)
}

/// When the next replacement may be minted, if there were too many recently.
fn backoff_until(observed: &Observed) -> Option<Timestamp> {
    let mut latest = observed.replacements.iter();
    let oldest = latest.nth_back(MAX_REPLACEMENTS - 1)?;
    let until = oldest.checked_add(REPLACEMENT_WINDOW).ok()?;
    (until > observed.now).then_some(until)
}

/// The cause of the further secret that these steps mint, if they mint one.
#[must_use]
pub fn cause_of(actions: &[Action]) -> Option<Cause> {
    actions.iter().find_map(|action| {
        if let Action::Issue {
            proof: Proof::Pending(next),
            ..
        } = action
        {
            Some(next.cause)
        } else {
            None
        }
    })
}
