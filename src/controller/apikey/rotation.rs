//! When a key gets a further secret, and the steps to it. Pure.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::model::{Action, Observed, Situation};
use super::plan::{self, MAX_REPLACEMENTS, REPLACEMENT_WINDOW};
use apikey_api::{ApiKey, BadRequest, RotateRequest};
use apikey_credential::record::{Cause, CredentialRecord};

/// Time from a request without an overlap to the end of the secret that it replaces. Where nothing holds it
/// up, the new one is delivered long before.
pub const END_WITHIN: SignedDuration = SignedDuration::from_secs(10);

const DAY: SignedDuration = SignedDuration::from_hours(24);

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

/// How rotation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rotation {
    /// Nothing is to do now.
    Idle,
    /// A new secret is due.
    Due(NextSecret),
    /// One is asked for, and the secret that was replaced last is still accepted. A second one would
    /// break the promise that was made to those who hold it.
    Waits {
        /// The replaced secret.
        revision: i64,
        /// When it ends.
        until: Timestamp,
    },
    /// The annotations can't be understood.
    Refused(BadRequest),
}

/// When the current secret is replaced by schedule; `None` without a schedule, and if the expiry
/// comes first.
///
/// Up to a tenth of the time (at most a day) earlier than `everyDays`, by a hash of the uid: keys
/// that were made together are not rotated together, and no secret is older than declared.
#[must_use]
pub fn scheduled_at(
    apikey: &ApiKey,
    document: &CredentialRecord,
    now: Timestamp,
) -> Option<Timestamp> {
    let every_days = apikey.spec.rotation.as_ref()?.every_days?;
    if apikey.reveals_once() {
        return None;
    }
    let every = DAY * every_days.max(1);
    let spread = (every / 10).min(DAY).as_secs().max(1);
    let uid = apikey.metadata.uid.as_deref().unwrap_or_default();
    let earlier = i64::from(crc32fast::hash(uid.as_bytes())) % spread;
    let at = document.current.created_at.0.checked_add(every).ok()?;
    let at = at.checked_sub(SignedDuration::from_secs(earlier)).ok()?;
    let overlap_end = document.accepted_previous(now).map(|(_, end)| end);
    let at = overlap_end.map_or(at, |end| at.max(end));
    (at < document.expires_at.0).then_some(at)
}

/// How rotation stands.
pub(super) fn rotation(observed: &Observed, document: &CredentialRecord) -> Rotation {
    let (apikey, now) = (&observed.apikey, observed.now);
    let next = |cause, request, overlap_seconds| {
        Rotation::Due(NextSecret {
            revision: document.next_revision(),
            cause,
            request,
            overlap_seconds,
        })
    };
    if document.current_until().is_some() {
        // Whatever became of the request since: nothing else that is delivered is good.
        let request = unanswered(apikey, document).map(|request| request.token);
        return next(Cause::Request, request, 0);
    }
    let scheduled = scheduled_at(apikey, document, now).is_some_and(|at| at <= now);
    match apikey.rotate_request() {
        Err(bad) if !scheduled => Rotation::Refused(bad),
        Ok(Some(request)) if !document.has_handled(&request.token) => {
            match document.accepted_previous(now) {
                Some((previous, until)) if request.overlap_seconds > 0 => Rotation::Waits {
                    revision: previous.revision,
                    until,
                },
                _ => next(Cause::Request, Some(request.token), request.overlap_seconds),
            }
        }
        Ok(_) | Err(_) if scheduled => next(Cause::Schedule, None, apikey.overlap_seconds()),
        Ok(_) | Err(_) => Rotation::Idle,
    }
}

/// The request of the annotations, answered or not.
pub(super) fn request(apikey: &ApiKey) -> Option<String> {
    let request = apikey.rotate_request().ok().flatten();
    request.map(|request| request.token)
}

/// The request of the annotations, if it can be understood and was not answered.
fn unanswered(apikey: &ApiKey, document: &CredentialRecord) -> Option<RotateRequest> {
    let request = apikey.rotate_request().ok().flatten();
    request.filter(|request| !document.has_handled(&request.token))
}

/// Whether somebody wants the current secret to end, and it has no end yet. That is written before anything
/// else, so that nothing that holds up a new secret keeps the old one good.
pub(super) fn is_to_end(observed: &Observed, document: &CredentialRecord) -> bool {
    let request = unanswered(&observed.apikey, document);
    request.is_some_and(|request| request.overlap_seconds == 0)
        && document.current_until().is_none()
        && observed.now < document.expires_at.0
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
    let append = Action::AppendPending(next);
    let actions = vec![append, plan::deliver(observed), Action::Promote];
    (actions, Situation::Working)
}

/// The value is gone or not the one that is proven: a new secret takes its place.
pub(super) fn replace(
    observed: &Observed,
    document: &CredentialRecord,
) -> (Vec<Action>, Situation) {
    if !observed.confirmed {
        return (vec![Action::Confirm], Situation::Working);
    }
    // Whoever asked for a new secret has one then, with the overlap that was asked for.
    let asked = unanswered(&observed.apikey, document);
    let is_asked = asked.is_some() || observed.is_ending();
    if let Some(until) = held_until(observed).filter(|_| !is_asked) {
        return (Vec::new(), Situation::ReplacementBackoff(until));
    }
    let overlap = asked.as_ref().map(|request| request.overlap_seconds);
    let next = NextSecret {
        revision: document.next_revision(),
        cause: Cause::Replacement,
        request: asked.map(|request| request.token),
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
        if let Action::AppendPending(next) = action {
            Some(next.cause)
        } else {
            None
        }
    })
}
