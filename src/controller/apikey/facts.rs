//! Values derived from the observation of a key. Each is computed once per decision. Pure.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::model::{NextSecret, Observed};
use apikey_api::conditions::{self, READY, reason};
use apikey_api::{ApiKey, BadRequest, RotateRequest};
use apikey_credential::record::{Cause, CredentialRecord, Entry};
use apikey_policy::Assessment;

/// A key expires soon if less than this remains until its expiry, or less than a third of its
/// lifetime if that is shorter.
const EXPIRING_SOON_BEFORE: SignedDuration = SignedDuration::from_hours(7 * 24);

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// The observation of a key, and the values derived from it.
pub(super) struct Facts<'a> {
    /// The observation.
    pub(super) observed: &'a Observed,
    /// What policy decides about the key.
    pub(super) assessment: Assessment,
    /// Whether the delivered Secret holds the current secret.
    pub(super) is_delivered: bool,
    /// Whether a further secret is due; `None` without a readable credential record.
    pub(super) rotation: Option<Rotation>,
    /// The request for a new secret, if it is valid and unanswered.
    pub(super) unanswered: Option<RotateRequest>,
    /// When the schedule replaces the current secret.
    pub(super) scheduled_at: Option<Timestamp>,
    /// The replaced secret that is still accepted, and when it ends.
    pub(super) previous: Option<(&'a Entry, Timestamp)>,
    /// When an unclaimed Secret is removed. `None` if the secret is not shown once, or its claim is
    /// over.
    pub(super) claim_until: Option<Timestamp>,
    /// When the key begins to count as expiring soon.
    pub(super) expiring_soon_from: Option<Timestamp>,
}

/// Whether a further secret is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rotation {
    /// No new secret is due.
    Idle,
    /// A new secret is due.
    Due(NextSecret),
    /// A new secret is requested while the previous one is still accepted. Another rotation would
    /// end the previous one before its overlap ends.
    Waits {
        /// The replaced secret.
        revision: i64,
        /// When it ends.
        until: Timestamp,
    },
    /// The annotations are invalid.
    Refused(BadRequest),
}

impl<'a> Facts<'a> {
    /// The facts about this key.
    pub(super) fn of(observed: &'a Observed) -> Self {
        let (apikey, now) = (&observed.apikey, observed.now);
        let record = observed.document();
        let assessment = observed.assess();
        let previous = record.and_then(|record| record.accepted_previous(now));
        let overlap_end = previous.map(|(_, end)| end);
        let scheduled_at = record.and_then(|record| scheduled_at(apikey, record, overlap_end));
        let unanswered = record.and_then(|record| unanswered_request(apikey, record));
        let asked = unanswered.as_ref();
        Self {
            rotation: record
                .map(|record| rotation(observed, record, scheduled_at, previous, asked)),
            unanswered,
            scheduled_at,
            previous,
            claim_until: record.and_then(|record| claim_until(apikey, record)),
            expiring_soon_from: expiring_soon_from(apikey, assessment.expires_at),
            assessment,
            is_delivered: observed.is_delivered(),
            observed,
        }
    }

    /// Whether nobody claimed the secret in time.
    pub(super) fn is_overdue(&self) -> bool {
        self.claim_until
            .is_some_and(|until| until <= self.observed.now)
    }

    /// Whether a finalizer keeps a Secret that has no further use. The Secret is being deleted and
    /// still holds the value.
    pub(super) fn is_kept_by_finalizer(&self) -> bool {
        let record = self.observed.document();
        let over = record.is_some_and(|record| record.claim.is_over());
        let secret = self.observed.own_delivered();
        over && secret.is_some_and(|secret| secret.is_deleting && secret.entry_digest.is_some())
    }
}

/// When the schedule replaces the current secret. `None` without a schedule, and if the key expires
/// first.
///
/// A hash of the uid makes the time up to a tenth of `everyDays` (at most a day) earlier. So keys
/// that were created together are not rotated together, and no secret gets older than declared.
pub(super) fn scheduled_at(
    apikey: &ApiKey,
    record: &CredentialRecord,
    overlap_end: Option<Timestamp>,
) -> Option<Timestamp> {
    let every_days = apikey.spec.rotation.as_ref()?.every_days?;
    if apikey.reveals_once() {
        return None;
    }
    let every = DAY * every_days.max(1);
    let spread = (every / 10).min(DAY).as_secs().max(1);
    let uid = apikey.metadata.uid.as_deref().unwrap_or_default();
    let earlier = i64::from(crc32fast::hash(uid.as_bytes())) % spread;
    let at = record.current.created_at.0.checked_add(every).ok()?;
    let at = at.checked_sub(SignedDuration::from_secs(earlier)).ok()?;
    let at = overlap_end.map_or(at, |end| at.max(end));
    (at < record.expires_at.0).then_some(at)
}

fn rotation(
    observed: &Observed,
    record: &CredentialRecord,
    scheduled_at: Option<Timestamp>,
    previous: Option<(&Entry, Timestamp)>,
    unanswered: Option<&RotateRequest>,
) -> Rotation {
    let (apikey, now) = (&observed.apikey, observed.now);
    let next = |cause, request, overlap_seconds| {
        Rotation::Due(NextSecret {
            revision: record.next_revision(),
            cause,
            request,
            overlap_seconds,
        })
    };
    if record.current_until().is_some() {
        // The delivered secret ends, so a new one is due even if the request was withdrawn or
        // changed.
        let request = unanswered.map(|request| request.token.clone());
        return next(Cause::Request, request, 0);
    }
    let scheduled = scheduled_at.is_some_and(|at| at <= now);
    match apikey.rotate_request() {
        Err(bad) if !scheduled => Rotation::Refused(bad),
        Ok(Some(request)) if !record.has_handled(&request.token) => match previous {
            Some((previous, until)) if request.overlap_seconds > 0 => Rotation::Waits {
                revision: previous.revision,
                until,
            },
            _ => next(Cause::Request, Some(request.token), request.overlap_seconds),
        },
        Ok(_) | Err(_) if scheduled => next(Cause::Schedule, None, apikey.overlap_seconds()),
        Ok(_) | Err(_) => Rotation::Idle,
    }
}

/// The request for a new secret, if it is valid and unanswered.
fn unanswered_request(apikey: &ApiKey, record: &CredentialRecord) -> Option<RotateRequest> {
    let request = apikey.rotate_request().ok().flatten();
    request.filter(|request| !record.has_handled(&request.token))
}

fn claim_until(apikey: &ApiKey, record: &CredentialRecord) -> Option<Timestamp> {
    let secret = apikey.spec.secret.as_ref()?;
    let waits = apikey.reveals_once() && !record.claim.is_over();
    let within = SignedDuration::from_secs(secret.reveal_within_seconds().into());
    let until = record.current.created_at.0.checked_add(within).ok()?;
    waits.then_some(until)
}

fn expiring_soon_from(apikey: &ApiKey, expires_at: Option<Timestamp>) -> Option<Timestamp> {
    let (created, expires_at) = (apikey.metadata.creation_timestamp.as_ref()?.0, expires_at?);
    let third = expires_at.duration_since(created) / 3;
    expires_at.checked_sub(third.min(EXPIRING_SOON_BEFORE)).ok()
}

/// Since when the status reports that a Secret of somebody else or of an earlier key has the name
/// that the key delivers to.
pub(super) fn in_conflict_since(apikey: &ApiKey) -> Option<Timestamp> {
    let known = apikey.status.as_ref()?;
    let ready = conditions::find(&known.conditions, READY)?;
    let conflicts = [reason::SECRET_CONFLICT, reason::PREVIOUS_SECRET_TERMINATING];
    conflicts
        .contains(&&*ready.reason)
        .then_some(ready.last_transition_time.0)
}
