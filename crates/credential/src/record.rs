//! The verifier document: what proves the secrets of one key. Pure.
//!
//! It lives in one Secret per key in the operator's namespace and never holds a value. `current` is
//! the delivered secret, `previous` the one before while it is still accepted, `pending` the
//! secrets whose delivery has begun. Whichever of them reached the delivered Secret is accepted, so
//! a crash between two writes never leaves a consumer with a refused value. The exception is asked
//! for: a request for a new secret without an overlap gives `current` an end, which holds whether or not
//! the new one can be delivered.
//!
//! What a write has to remember across a crash is in the same document as what it does: the cause of
//! a secret, the request that it answers, and whether a secret that is shown once was handed over.

mod entry;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use self::entry::{Cause, Claim, Entry, Pending};
use super::{KeyId, Unreadable, versioned};

/// Version that this program writes and reads.
const VERSION: u32 = 1;
/// Number of the first secret of a document.
pub const FIRST_REVISION: i64 = 1;
/// Most pending entries.
pub const MAX_PENDING: usize = 4;
/// A pending entry that was not delivered may go when it is older than this.
pub const PENDING_MAX_AGE: SignedDuration = SignedDuration::from_mins(10);

/// Most answered requests that are remembered.
const MAX_HANDLED: usize = 16;

/// All that proves the secrets of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialRecord {
    version: u32,
    /// The `ApiKey`.
    pub owner: Owner,
    /// Organization of the key.
    pub org: String,
    /// E-mail address that stands for the key in audit records, for life.
    pub email: String,
    /// Public id, for life.
    pub key_id: KeyId,
    /// When the public id was made. `None`: before documents said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id_since: Option<Time>,
    /// Time from which the key is refused, fixed at the first mint.
    pub expires_at: Time,
    /// The delivered secret.
    pub current: Entry,
    /// The secret before, accepted until its `valid_until`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Entry>,
    /// Secrets whose delivery has begun.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<Pending>,
    /// Highest number of the pending entries that were dropped: it is not given to another secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped_revision: Option<i64>,
    /// Number of the replaced secret that was discarded last, before its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discarded_revision: Option<i64>,
    /// The last requests for a new secret that were answered, the newest at the end.
    ///
    /// More than one, because a tool that applies from Git puts an earlier request back after
    /// somebody asked by hand: that one was answered already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handled_rotate_requests: Vec<String>,
    /// uid of the `ApiKey` that the document was about before a backup was restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<String>,
    /// Where the current secret is, if it is shown once.
    #[serde(
        rename = "handover",
        default,
        skip_serializing_if = "Claim::is_unrecorded"
    )]
    pub claim: Claim,
    /// Whether the current secret is the first one and its delivery was refused, so that nobody has it and
    /// another takes its place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
}

/// The `ApiKey` that a verifier belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Its namespace.
    pub namespace: String,
    /// Its `metadata.name`.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// What stays with a key for life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The `ApiKey`.
    pub owner: Owner,
    /// Its organization.
    pub org: String,
    /// Its e-mail address.
    pub email: String,
    /// Its public id.
    pub key_id: KeyId,
}

/// A verifier can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the verifier can't be read: {0}")]
pub struct Error(#[from] pub Unreadable);

impl CredentialRecord {
    /// The document of a key whose first secret is `current`.
    #[must_use]
    pub fn new(identity: Identity, expires_at: Timestamp, current: Entry) -> Self {
        let Identity {
            owner,
            org,
            email,
            key_id,
        } = identity;
        Self {
            version: VERSION,
            owner,
            org,
            email,
            key_id,
            key_id_since: Some(current.created_at.clone()),
            expires_at: Time(expires_at),
            current,
            previous: None,
            pending: Vec::new(),
            dropped_revision: None,
            discarded_revision: None,
            handled_rotate_requests: Vec::new(),
            restored_from: None,
            claim: Claim::Unrecorded,
            withdrawn: false,
        }
    }

    /// The same document with another first secret.
    #[must_use]
    pub fn beginning_again(&self, first: Entry) -> Self {
        Self {
            current: first,
            withdrawn: false,
            ..self.clone()
        }
    }

    /// Reads a stored document.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        Ok(versioned::read(json, VERSION)?)
    }

    /// The document to store.
    ///
    /// # Errors
    /// [`serde_json::Error`] if it can't be written, which its types exclude.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Number for the next secret.
    #[must_use]
    pub fn next_revision(&self) -> i64 {
        let pending = self.pending.iter().map(|pending| &pending.entry);
        let others = self.previous.iter().chain(pending);
        others
            .map(|entry| entry.revision)
            .chain(self.dropped_revision)
            .fold(self.current.revision, i64::max)
            .saturating_add(1)
    }

    /// When the oldest pending entry may go, if there is one.
    #[must_use]
    pub fn pending_until(&self) -> Option<Timestamp> {
        let created = self
            .pending
            .iter()
            .map(|pending| pending.entry.created_at.0);
        created.min()?.checked_add(PENDING_MAX_AGE).ok()
    }

    /// When there is room for one more pending entry; `None`: now.
    ///
    /// An entry that is not too old is never dropped to make room: it may be on its way into the
    /// delivered Secret.
    #[must_use]
    pub fn room_from(&self) -> Option<Timestamp> {
        self.pending_until()
            .filter(|_| self.pending.len() >= MAX_PENDING)
    }

    /// The document with one more pending entry.
    #[must_use]
    pub fn with_pending(&self, pending: Pending) -> Self {
        let mut next = self.clone();
        next.pending.push(pending);
        next
    }

    /// The document without this secret, which was certainly not delivered and can't be any more; another
    /// may have its number. `None` if it is not in the document.
    #[must_use]
    pub fn without_undelivered(&self, minted: &Entry) -> Option<Self> {
        let mut next = self.clone();
        next.pending
            .retain(|pending| pending.entry.hash != minted.hash);
        next.withdrawn |= next.current.hash == minted.hash;
        (next != *self).then_some(next)
    }

    /// The document by which the current secret, and those whose delivery has begun, are refused from `end`
    /// on, or before if they were to be: any of them may be what is delivered.
    #[must_use]
    pub fn ending_at(&self, end: Timestamp) -> Self {
        let mut next = self.clone();
        let pending = next.pending.iter_mut().map(|pending| &mut pending.entry);
        for entry in pending.chain([&mut next.current]) {
            let before = entry.valid_until.as_ref().map_or(end, |before| before.0);
            entry.valid_until = Some(Time(end.min(before)));
        }
        next
    }

    /// Time from which the current secret is refused, because a new one was asked for in its place without
    /// an overlap.
    #[must_use]
    pub fn current_until(&self) -> Option<Timestamp> {
        self.current.valid_until.as_ref().map(|end| end.0)
    }

    /// The document without the pending entries that are too old. None of them may be delivered.
    #[must_use]
    pub fn without_old_pending(&self, now: Timestamp) -> Self {
        let (young, old): (Vec<_>, Vec<_>) =
            self.pending.iter().cloned().partition(|pending| {
                now.duration_since(pending.entry.created_at.0) < PENDING_MAX_AGE
            });
        let dropped = old.iter().map(|pending| pending.entry.revision);
        Self {
            pending: young,
            dropped_revision: dropped.chain(self.dropped_revision).max(),
            ..self.clone()
        }
    }

    /// The document after the replaced secret is refused before its time.
    #[must_use]
    pub fn without_previous(&self) -> Self {
        let discarded = self.previous.as_ref().map(|previous| previous.revision);
        Self {
            previous: None,
            discarded_revision: discarded.or(self.discarded_revision),
            ..self.clone()
        }
    }

    /// The pending entry with this digest.
    #[must_use]
    pub fn pending(&self, digest: &str) -> Option<&Pending> {
        let mut pending = self.pending.iter();
        pending.find(|pending| pending.entry.digest() == digest)
    }

    /// The document after the pending entry named by `digest` was delivered: it becomes current, the
    /// old current stays accepted for the overlap and never beyond the expiry. Without an overlap, and if
    /// it was asked to end, the one that was replaced before keeps its own. `None` if no pending entry has
    /// that digest.
    ///
    /// Other attempts to rotate go: each was to replace the version of the Secret that this one replaced.
    /// An attempt to create a missing Secret stays: it may be delivered since or yet, if the Secret
    /// is removed again.
    #[must_use]
    pub fn promoted(&self, digest: &str, now: Timestamp) -> Option<Self> {
        let delivered = self.pending(digest)?.clone();
        let ends = delivered.overlap_seconds == 0 || self.current.valid_until.is_some();
        let previous = if ends {
            self.previous.clone()
        } else {
            Some(Entry {
                valid_until: Some(Time(self.overlap_end(delivered.overlap_seconds, now))),
                ..self.current.clone()
            })
        };
        let claim = if self.claim.is_unrecorded() {
            Claim::Unrecorded
        } else {
            Claim::Delivered
        };
        let mut next = Self {
            current: delivered.entry,
            previous,
            claim,
            ..self.clone()
        };
        next.pending.retain(|other| {
            let creates = other.entry.cause == Cause::Replacement || !self.claim.is_unrecorded();
            creates && other.entry.digest() != digest
        });
        next.remember(delivered.request);
        Some(next)
    }

    /// The same document for the `ApiKey` that took the place of its owner when a backup was restored.
    #[must_use]
    pub fn adopted_by(&self, uid: &str) -> Self {
        let mut next = self.clone();
        next.restored_from = Some(std::mem::replace(&mut next.owner.uid, uid.to_owned()));
        next
    }

    /// Remembers a request as answered, and forgets the oldest beyond a bound.
    pub fn remember(&mut self, request: Option<String>) {
        self.handled_rotate_requests.extend(request);
        let excess = self
            .handled_rotate_requests
            .len()
            .saturating_sub(MAX_HANDLED);
        self.handled_rotate_requests.drain(..excess);
    }

    /// Whether the request was answered.
    #[must_use]
    pub fn has_handled(&self, request: &str) -> bool {
        let mut handled = self.handled_rotate_requests.iter();
        handled.any(|handled| handled == request)
    }

    /// Rounded up, because stored times are whole seconds and a promise is kept in full.
    fn overlap_end(&self, overlap_seconds: u32, now: Timestamp) -> Timestamp {
        let whole = now.as_second() + i64::from(now.subsec_nanosecond() > 0);
        let end = whole.saturating_add(i64::from(overlap_seconds));
        let end = Timestamp::from_second(end).unwrap_or(Timestamp::MAX);
        end.min(self.expires_at.0)
    }

    /// The previous entry with its end, while it is accepted.
    #[must_use]
    pub fn accepted_previous(&self, now: Timestamp) -> Option<(&Entry, Timestamp)> {
        let previous = self.previous.as_ref()?;
        let valid_until = previous.valid_until.as_ref()?.0;
        (now < valid_until).then_some((previous, valid_until))
    }
}

#[cfg(test)]
mod tests;
