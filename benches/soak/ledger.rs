//! What this program did to each key and saw of it, and so what an answer to its holder has to be.
//! Pure.

use std::collections::BTreeMap;

use apikey_api::{ApiKey, names};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::holder::{Holder, Request};

/// How long a replaced secret stays accepted. Unit: seconds.
pub(crate) const OVERLAP_SECONDS: u32 = 60;
const OVERLAP: SignedDuration = SignedDuration::from_secs(OVERLAP_SECONDS as i64);

/// SHA-256 of a secret.
pub(crate) type Digest = [u8; 32];

/// All keys, by name.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) keys: BTreeMap<String, Key>,
    /// How often a second value was seen for one revision of a key.
    pub(crate) doubles: u32,
}

/// One key.
#[derive(Default)]
pub(crate) struct Key {
    pub(crate) expiry: Option<Timestamp>,
    /// Roles asked for last.
    pub(crate) roles: Vec<String>,
    /// How often a new secret was asked for, and when last.
    pub(crate) rotations: u32,
    pub(crate) rotated: Option<Timestamp>,
    pub(crate) revoked: Revoked,
    /// Values seen, by revision.
    pub(crate) delivered: BTreeMap<i64, Digest>,
    pub(crate) newest: Option<Holder>,
    /// The value before the newest, and until when it has to be accepted.
    pub(crate) previous: Option<(Holder, Timestamp)>,
    /// Whether a token was issued for it.
    pub(crate) is_known: bool,
}

/// How far the end of a key by its owner is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Revoked {
    #[default]
    No,
    /// The API server is being asked.
    Asked,
    /// The API server has confirmed it.
    Since(Timestamp),
}

/// A secret and what its holder may expect.
pub(crate) struct Question {
    pub(crate) key: String,
    pub(crate) request: Request,
    pub(crate) expiry: Option<Timestamp>,
    /// From when on it may be refused.
    end: Option<Timestamp>,
}

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// A token for a valid secret.
    Issued,
    /// A token for a key whose deletion was confirmed this long before it was asked for.
    IssuedAfterDeletion(SignedDuration),
    /// A token that was asked for at or after the expiry.
    Late,
    /// A refusal of a secret that is expired, replaced or deleted.
    RightlyRefused,
    /// A refusal of the first secret of a key before its first token.
    NotYetKnown,
    /// A refusal of a delivered, unexpired secret of a key that is there.
    WronglyRefused,
    /// The server is not able to answer now.
    Unavailable,
}

impl Ledger {
    /// Takes in a value that was seen in a delivered Secret.
    pub(crate) fn deliver(&mut self, key: &str, revision: i64, digest: Digest, holder: Holder) {
        let Some(key) = self.keys.get_mut(key) else {
            return;
        };
        let newest = key
            .delivered
            .last_key_value()
            .map(|(revision, _)| *revision);
        match key.delivered.insert(revision, digest) {
            Some(before) => self.doubles += u32::from(before != digest),
            None if newest.is_none_or(|newest| newest < revision) => {
                // It was replaced after that was asked for.
                let end = key.rotated.map(|asked| asked + OVERLAP);
                key.previous = key.newest.replace(holder).zip(end);
            }
            None => {}
        }
    }

    /// What the holder of one of the keys asks with one of its secrets, as `n` chooses.
    pub(crate) fn question(&self, n: usize, now: Timestamp) -> Option<Question> {
        let holding = self.keys.iter().filter(|(_, key)| key.newest.is_some());
        let count = holding.clone().count();
        let (name, key) = holding.clone().nth(n.checked_rem(count)?)?;
        let older = key.previous.as_ref().filter(|(_, end)| now < *end);
        let (holder, end) = match older.filter(|_| n / count % 2 == 1) {
            Some((holder, end)) => (holder, Some(*end)),
            None => (key.newest.as_ref()?, None),
        };
        Some(Question {
            key: name.clone(),
            request: holder.request(),
            expiry: key.expiry,
            end: end.into_iter().chain(key.expiry).min(),
        })
    }

    /// What the status of an answer means.
    pub(crate) fn judge(
        &mut self,
        question: &Question,
        status: u16,
        sent: Timestamp,
        answered: Timestamp,
    ) -> Judgement {
        let key = self.keys.get_mut(&question.key);
        let revoked = key.as_ref().map_or(Revoked::Asked, |key| key.revoked);
        let is_over = question.end.is_some_and(|end| end <= answered);
        match status {
            200 if question.expiry.is_some_and(|expiry| expiry <= sent) => Judgement::Late,
            200 => {
                if let Some(key) = key {
                    key.is_known = true;
                }
                match revoked {
                    Revoked::Since(time) if time <= sent => {
                        Judgement::IssuedAfterDeletion(sent.duration_since(time))
                    }
                    Revoked::No | Revoked::Asked | Revoked::Since(_) => Judgement::Issued,
                }
            }
            503 => Judgement::Unavailable,
            _ if is_over || revoked != Revoked::No => Judgement::RightlyRefused,
            _ if key.is_some_and(|key| !key.is_known) => Judgement::NotYetKnown,
            _ => Judgement::WronglyRefused,
        }
    }
}

impl Key {
    /// Whether it is to be there at the end.
    pub(crate) fn lasts(&self) -> bool {
        self.expiry.is_none() && self.revoked == Revoked::No
    }

    /// Whether a further secret may be asked for: nobody waits for an earlier one.
    pub(crate) fn may_rotate(&self, now: Timestamp) -> bool {
        let quiet = OVERLAP + SignedDuration::from_secs(10);
        self.is_known && self.lasts() && self.rotated.is_none_or(|asked| asked + quiet <= now)
    }

    /// Whether the object is as it was asked for, and settled.
    pub(crate) fn is_settled(&self, object: &ApiKey) -> bool {
        let Some(status) = &object.status else {
            return false;
        };
        let roles: Vec<_> = status.roles.iter().map(ToString::to_string).collect();
        let annotations = object.metadata.annotations.as_ref();
        let asked = annotations.and_then(|all| all.get(names::ANNOTATION_ROTATE_REQUESTED_AT));
        status.observed_generation == object.metadata.generation.unwrap_or_default()
            && roles == self.roles
            && status.handled_rotate_request.as_ref() == asked
    }
}
