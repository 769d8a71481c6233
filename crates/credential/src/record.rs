//! The credential record: what verifies the secrets of one key. Pure.
//!
//! Each key has one credential record, in a Secret in the operator's namespace. The record never contains the
//! value of a secret. `current` is the delivered secret, `previous` is the replaced secret while it is still
//! accepted, and `pending` has the secrets whose delivery has begun.
//!
//! # Guarantees
//! - Every secret that may be in the delivered Secret is accepted, so a crash between two writes never
//!   leaves a client with a refused secret. The exception is a request for a new secret without an overlap:
//!   it gives `current` an end, which applies whether or not the new secret can be delivered.
//! - Everything that a write must remember across a crash is in the record: the cause of a secret, the
//!   request that it answers, and whether a secret that is revealed once was claimed.

mod entry;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use self::entry::{Cause, Claim, Entry, Pending};
use super::{KeyId, Unreadable, versioned};

/// Version that this program writes and reads.
const VERSION: u32 = 1;
/// Number of the first secret of a record.
pub const FIRST_REVISION: i64 = 1;
/// Maximum number of pending entries.
pub const MAX_PENDING: usize = 4;
/// Age after which a pending entry that was not delivered may be dropped.
pub const PENDING_MAX_AGE: SignedDuration = SignedDuration::from_mins(10);

/// Maximum number of handled requests that a record remembers.
const MAX_HANDLED: usize = 16;

/// Everything that verifies the secrets of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialRecord {
    version: u32,
    /// The `ApiKey` that the record belongs to.
    pub owner: Owner,
    /// Organization of the key.
    pub org: String,
    /// E-mail address that identifies the key in audit records. It never changes.
    pub email: String,
    /// Public id of the key. It never changes.
    pub key_id: KeyId,
    /// Time at which the public id was created. `None` in old records without this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id_since: Option<Time>,
    /// Time from which the key is refused, fixed when the first secret is minted.
    pub expires_at: Time,
    /// The delivered secret.
    pub current: Entry,
    /// The replaced secret, accepted until its `valid_until`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Entry>,
    /// Secrets whose delivery has begun.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<Pending>,
    /// Highest number of the dropped pending entries. It is never given to another secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped_revision: Option<i64>,
    /// Number of the replaced secret that was discarded last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discarded_revision: Option<i64>,
    /// The last handled requests for a new secret, newest last.
    ///
    /// There is more than one, because a GitOps tool can restore an earlier request after a manual one. The
    /// restored request must not be handled again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handled_rotate_requests: Vec<String>,
    /// The uid of the `ApiKey` that owned the record before a backup was restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<String>,
    /// State of the claim, if the current secret is revealed once.
    #[serde(
        rename = "handover",
        default,
        skip_serializing_if = "Claim::is_unrecorded"
    )]
    pub claim: Claim,
    /// Whether the current secret is the first one and its delivery was refused. Nobody has this secret, so
    /// another one replaces it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
}

/// The `ApiKey` that a credential record belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Namespace of the key.
    pub namespace: String,
    /// `metadata.name` of the key.
    pub name: String,
    /// The uid of the key.
    pub uid: String,
}

/// The properties of a key that never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The `ApiKey`.
    pub owner: Owner,
    /// Organization of the key.
    pub org: String,
    /// E-mail address of the key.
    pub email: String,
    /// Public id of the key.
    pub key_id: KeyId,
}

/// The credential record can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the credential record can't be read: {0}")]
pub struct Error(#[from] pub Unreadable);

impl CredentialRecord {
    /// Creates the record of a key with the first secret `current`.
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

    /// Returns the record with another first secret.
    #[must_use]
    pub fn beginning_again(&self, first: Entry) -> Self {
        Self {
            current: first,
            withdrawn: false,
            ..self.clone()
        }
    }

    /// Parses a stored record.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        Ok(versioned::read(json, VERSION)?)
    }

    /// Returns the document to store.
    ///
    /// # Errors
    /// Returns [`serde_json::Error`] if the record can't be serialized, which its types prevent.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Number of the next secret.
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

    /// Time from which the oldest pending entry may be dropped, if there is one.
    #[must_use]
    pub fn pending_until(&self) -> Option<Timestamp> {
        let created = self
            .pending
            .iter()
            .map(|pending| pending.entry.created_at.0);
        created.min()?.checked_add(PENDING_MAX_AGE).ok()
    }

    /// Time from which another pending entry can be added. `None` means now.
    ///
    /// An entry is never dropped before [`PENDING_MAX_AGE`] to make room, because it may still be delivered.
    #[must_use]
    pub fn room_from(&self) -> Option<Timestamp> {
        self.pending_until()
            .filter(|_| self.pending.len() >= MAX_PENDING)
    }

    /// Returns the record with an additional pending entry.
    #[must_use]
    pub fn with_pending(&self, pending: Pending) -> Self {
        let mut next = self.clone();
        next.pending.push(pending);
        next
    }

    /// Returns the record without this secret, which was certainly not delivered and can't be delivered
    /// later. Another secret may reuse its number. `None` if the record does not contain the secret.
    #[must_use]
    pub fn without_undelivered(&self, minted: &Entry) -> Option<Self> {
        let mut next = self.clone();
        next.pending
            .retain(|pending| pending.entry.hash != minted.hash);
        next.withdrawn |= next.current.hash == minted.hash;
        (next != *self).then_some(next)
    }

    /// Returns the record in which the current and the pending secrets are refused from `end`, or from an
    /// earlier end that they already have. All of them end, because any of them may be the delivered one.
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

    /// Time from which the current secret is refused, because a new secret without an overlap was requested.
    #[must_use]
    pub fn current_until(&self) -> Option<Timestamp> {
        self.current.valid_until.as_ref().map(|end| end.0)
    }

    /// Returns the record without the pending entries that are too old. None of them may be delivered.
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

    /// Returns the record without the replaced secret, which is then refused before its overlap ends.
    #[must_use]
    pub fn without_previous(&self) -> Self {
        let discarded = self.previous.as_ref().map(|previous| previous.revision);
        Self {
            previous: None,
            discarded_revision: discarded.or(self.discarded_revision),
            ..self.clone()
        }
    }

    /// Returns the pending entry with this digest.
    #[must_use]
    pub fn pending(&self, digest: &str) -> Option<&Pending> {
        let mut pending = self.pending.iter();
        pending.find(|pending| pending.entry.digest() == digest)
    }

    /// Returns the record after the pending entry with this digest was delivered. `None` if no pending entry
    /// has it.
    ///
    /// The entry becomes current. The old current secret stays accepted for the overlap, at most until the
    /// expiry. If there is no overlap, or if the old current secret already had an end, the replaced secret
    /// from before is kept instead.
    ///
    /// Other pending rotations are dropped, because each of them was to replace the version of the Secret
    /// that this one replaced. A pending secret for a missing Secret is kept: it may already be delivered, or
    /// be delivered later if the Secret is removed again.
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

    /// Returns the record for the `ApiKey` that adopted it when a backup was restored.
    #[must_use]
    pub fn adopted_by(&self, uid: &str) -> Self {
        let mut next = self.clone();
        next.restored_from = Some(std::mem::replace(&mut next.owner.uid, uid.to_owned()));
        next
    }

    /// Adds a handled request, and removes the oldest ones above the limit.
    pub fn remember(&mut self, request: Option<String>) {
        self.handled_rotate_requests.extend(request);
        let excess = self
            .handled_rotate_requests
            .len()
            .saturating_sub(MAX_HANDLED);
        self.handled_rotate_requests.drain(..excess);
    }

    /// Whether the request was handled.
    #[must_use]
    pub fn has_handled(&self, request: &str) -> bool {
        let mut handled = self.handled_rotate_requests.iter();
        handled.any(|handled| handled == request)
    }

    /// End of an overlap. It is rounded up to whole seconds, as they are stored, so that the overlap is never
    /// shorter than promised.
    fn overlap_end(&self, overlap_seconds: u32, now: Timestamp) -> Timestamp {
        let whole = now.as_second() + i64::from(now.subsec_nanosecond() > 0);
        let end = whole.saturating_add(i64::from(overlap_seconds));
        let end = Timestamp::from_second(end).unwrap_or(Timestamp::MAX);
        end.min(self.expires_at.0)
    }

    /// Returns the previous entry and its end, if it is still accepted.
    #[must_use]
    pub fn accepted_previous(&self, now: Timestamp) -> Option<(&Entry, Timestamp)> {
        let previous = self.previous.as_ref()?;
        let valid_until = previous.valid_until.as_ref()?.0;
        (now < valid_until).then_some((previous, valid_until))
    }
}

#[cfg(test)]
mod tests;
