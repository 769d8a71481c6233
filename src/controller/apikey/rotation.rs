//! The steps to a further secret. Pure.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::facts::Facts;
use super::model::{Action, NextSecret, Observed, Proof, Situation};
use apikey_api::ApiKey;
use apikey_credential::record::{Cause, CredentialRecord};

/// At most this many secrets replace removed ones ...
pub const MAX_REPLACEMENTS: usize = 3;
/// ... within this time; then the next one waits.
pub const REPLACEMENT_WINDOW: SignedDuration = SignedDuration::from_mins(10);
/// Time from a request without an overlap to the end of the secret that it replaces. Where nothing holds it
/// up, the new one is delivered long before.
pub const END_WITHIN: SignedDuration = SignedDuration::from_secs(10);

/// The request of the annotations, answered or not.
pub(super) fn request(apikey: &ApiKey) -> Option<String> {
    let request = apikey.rotate_request().ok().flatten();
    request.map(|request| request.token)
}

/// Whether somebody wants the current secret to end, and it has no end yet. That is written before anything
/// else, so that nothing that holds up a new secret keeps the old one good.
pub(super) fn is_to_end(facts: &Facts<'_>, document: &CredentialRecord) -> bool {
    let request = facts.unanswered.as_ref();
    request.is_some_and(|request| request.overlap_seconds == 0)
        && document.current_until().is_none()
        && facts.observed.now < document.expires_at.0
}

/// The document by which the current secret ends soon, and whatever may be delivered in its place already.
#[must_use]
pub fn ending(document: &CredentialRecord, now: Timestamp) -> CredentialRecord {
    document.ending_at(now.checked_add(END_WITHIN).unwrap_or(now))
}

/// The steps to a further secret: prove it, deliver it, and only then let the old one go.
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

/// The value is gone or not the one that is proven: a new secret takes its place.
pub(super) fn replace(facts: &Facts<'_>, document: &CredentialRecord) -> (Vec<Action>, Situation) {
    let observed = facts.observed;
    if !observed.confirmed {
        return (vec![Action::Confirm], Situation::Working);
    }
    // Whoever asked for a new secret has one then, with the overlap that was asked for.
    let asked = facts.unanswered.as_ref();
    let is_asked = asked.is_some() || observed.is_ending();
    if let Some(until) = held_until(observed).filter(|_| !is_asked) {
        return (Vec::new(), Situation::ReplacementBackoff(until));
    }
    let overlap = asked.map(|request| request.overlap_seconds);
    let next = NextSecret {
        revision: document.next_revision(),
        cause: Cause::Replacement,
        request: asked.map(|request| request.token.clone()),
        overlap_seconds: overlap.unwrap_or_else(|| observed.apikey.overlap_seconds()),
    };
    steps(observed, document, next)
}

/// When the next secret may take the place of one that was removed, if that happened too often.
fn held_until(observed: &Observed) -> Option<Timestamp> {
    let mut latest = observed.replacements.iter();
    let oldest = latest.nth_back(MAX_REPLACEMENTS - 1)?;
    let until = oldest.checked_add(REPLACEMENT_WINDOW).ok()?;
    (until > observed.now).then_some(until)
}

/// Why these steps mint a further secret, if they do.
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
