//! The verifier document: what proves the secrets of one key. Pure.
//!
//! It lives in one Secret per key in the operator's namespace and never holds a value. `current` is
//! the delivered secret, `previous` the one before while it is still accepted, `pending` the
//! secrets whose delivery has begun. Whichever of them reached the delivered Secret is accepted, so
//! a crash between two writes never leaves a consumer with a refused value.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::fingerprint::Fingerprint;
use super::{KeyId, Unreadable, hex, versioned};

/// Version that this program writes and reads.
const VERSION: u32 = 1;
/// Most pending entries.
pub const MAX_PENDING: usize = 4;
/// A pending entry that was not delivered may go when it is older than this.
pub const PENDING_MAX_AGE: SignedDuration = SignedDuration::from_mins(10);

/// All that proves the secrets of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    version: u32,
    /// The `ApiKey`.
    pub owner: Owner,
    /// Organization of the key.
    pub org: String,
    /// E-mail address that stands for the key in audit records, for life.
    pub email: String,
    /// Public id, for life.
    pub key_id: KeyId,
    /// Time from which the key is refused, fixed at the first mint.
    pub expires_at: Time,
    /// The delivered secret.
    pub current: Entry,
    /// The secret before, accepted until its `valid_until`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Entry>,
    /// Secrets whose delivery has begun.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<Entry>,
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

/// What proves one secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Number of the secret, from 1, never used twice in a document.
    pub revision: i64,
    /// argon2id hash in PHC form.
    pub hash: String,
    /// Keyed fingerprint.
    pub fingerprint: Fingerprint,
    /// When it was minted.
    pub created_at: Time,
    /// Only on `previous`: time from which it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Time>,
}

/// A verifier can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the verifier can't be read: {0}")]
pub struct Error(#[from] pub Unreadable);

impl Entry {
    /// 16 hexadecimal digits that name this entry in the annotation of the delivered Secret: the
    /// start of the SHA-256 of the hash. It tells nothing about the secret.
    #[must_use]
    pub fn digest(&self) -> String {
        hex::encode(&Sha256::digest(self.hash.as_bytes())[..8])
    }
}

impl Document {
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
            expires_at: Time(expires_at),
            current,
            previous: None,
            pending: Vec::new(),
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
        let all = [Some(&self.current), self.previous.as_ref()]
            .into_iter()
            .flatten();
        all.chain(&self.pending)
            .map(|entry| entry.revision)
            .max()
            .unwrap_or(0)
            .saturating_add(1)
    }

    /// The document with one more pending entry. Entries of other attempts stay unless they are too
    /// old or too many: they may be on their way into the delivered Secret.
    #[must_use]
    pub fn with_pending(&self, entry: Entry, now: Timestamp) -> Self {
        let mut next = self.clone();
        next.pending
            .retain(|pending| now.duration_since(pending.created_at.0) < PENDING_MAX_AGE);
        next.pending.push(entry);
        let excess = next.pending.len().saturating_sub(MAX_PENDING);
        next.pending.drain(..excess);
        next
    }

    /// The document after the pending entry named by `digest` was delivered: it becomes current, the
    /// old current stays accepted for `overlap` and never beyond the expiry, other attempts go.
    /// `None` if no pending entry has that digest.
    #[must_use]
    pub fn promoted(&self, digest: &str, overlap: Duration, now: Timestamp) -> Option<Self> {
        let delivered = self
            .pending
            .iter()
            .find(|entry| entry.digest() == digest)?
            .clone();
        let overlap_end = now.checked_add(overlap).unwrap_or(Timestamp::MAX);
        let valid_until = Some(Time(overlap_end.min(self.expires_at.0)));
        Some(Self {
            current: delivered,
            previous: Some(Entry {
                valid_until,
                ..self.current.clone()
            }),
            pending: Vec::new(),
            ..self.clone()
        })
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
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn entry(revision: i64, created: i64) -> Entry {
        Entry {
            revision,
            hash: format!("$argon2id$v=19$m=8,t=1,p=1${revision}"),
            fingerprint: Fingerprint {
                pepper_id: "p".into(),
                value: "v".into(),
            },
            created_at: Time(at(created)),
            valid_until: None,
        }
    }

    fn document() -> Document {
        let owner = Owner {
            namespace: "ns".into(),
            name: "n".into(),
            uid: "u".into(),
        };
        let key_id = KeyId::from_entropy([1; 10]);
        let identity = Identity {
            owner,
            org: "o".into(),
            email: "n@o".into(),
            key_id,
        };
        Document::new(identity, at(NOW + 5000), entry(1, NOW))
    }

    #[test]
    fn a_stored_document_is_read_back() {
        let document = document().with_pending(entry(2, NOW), at(NOW));
        assert_eq!(Document::parse(&document.to_json().unwrap()), Ok(document));
    }

    #[test]
    fn unknown_versions_and_half_written_json_are_named() {
        let json = String::from_utf8(document().to_json().unwrap()).unwrap();
        let newer = json.replace("\"version\":1", "\"version\":7");
        let unknown = Unreadable::Version { found: 7, known: 1 };
        assert_eq!(Document::parse(newer.as_bytes()), Err(Error(unknown)));
        for cut in 0..json.len() {
            assert!(Document::parse(&json.as_bytes()[..cut]).is_err());
        }
    }

    #[test]
    fn an_attempt_never_drops_the_young_entry_of_another() {
        let both = document()
            .with_pending(entry(2, NOW), at(NOW))
            .with_pending(entry(3, NOW + 599), at(NOW + 599));
        assert_eq!(both.pending.len(), 2);
        let later = both.with_pending(entry(4, NOW + 600), at(NOW + 600));
        let revisions: Vec<_> = later.pending.iter().map(|e| e.revision).collect();
        assert_eq!(revisions, [3, 4]);
    }

    #[test]
    fn pending_entries_are_bounded() {
        let many = (2..20).fold(document(), |d, n| d.with_pending(entry(n, NOW), at(NOW)));
        assert_eq!(many.pending.len(), MAX_PENDING);
        assert_eq!(many.next_revision(), 20);
    }

    #[test]
    fn promotion_keeps_the_old_secret_for_the_overlap_and_never_beyond_the_expiry() {
        let pending = document().with_pending(entry(2, NOW), at(NOW));
        let digest = entry(2, NOW).digest();
        let hour = Duration::from_hours(1);
        let promoted = pending.promoted(&digest, hour, at(NOW)).unwrap();
        assert_eq!(promoted.current.revision, 2);
        assert_eq!(
            promoted
                .accepted_previous(at(NOW + 3599))
                .unwrap()
                .0
                .revision,
            1
        );
        assert!(promoted.accepted_previous(at(NOW + 3600)).is_none());
        let late = pending.promoted(&digest, hour, at(NOW + 4000)).unwrap();
        assert_eq!(
            late.previous.unwrap().valid_until,
            Some(Time(at(NOW + 5000)))
        );
        assert!(
            pending
                .promoted("0123456789abcdef", hour, at(NOW))
                .is_none()
        );
    }
}
