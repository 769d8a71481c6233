//! Records what this program did to each key and observed of it. From that it judges each response. Pure.

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
    /// How often one revision of a key had a second value.
    pub(crate) doubles: u32,
}

/// One key.
#[derive(Default)]
pub(crate) struct Key {
    pub(crate) expiry: Option<Timestamp>,
    /// The roles that were requested last.
    pub(crate) roles: Vec<String>,
    /// The number of rotation requests, and the time of the last one.
    pub(crate) rotations: u32,
    pub(crate) rotated: Option<Timestamp>,
    pub(crate) revoked: Revoked,
    /// Observed values, by revision.
    pub(crate) delivered: BTreeMap<i64, Digest>,
    pub(crate) newest: Option<Holder>,
    /// The value before the newest, and until when it must be accepted.
    pub(crate) previous: Option<(Holder, Timestamp)>,
    /// Whether a token was issued for it.
    pub(crate) is_known: bool,
}

/// The state of a deletion by the owner.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Revoked {
    #[default]
    No,
    /// The request is under way.
    Asked,
    /// The API server confirmed the deletion at this time.
    Since(Timestamp),
}

/// A request with a secret, and what its holder may expect.
pub(crate) struct Question {
    pub(crate) key: String,
    pub(crate) request: Request,
    pub(crate) expiry: Option<Timestamp>,
    /// The time from which on the secret may be refused.
    end: Option<Timestamp>,
}

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// A token for a valid secret.
    Issued,
    /// A token for a key whose deletion was confirmed this long before the request.
    IssuedAfterDeletion(SignedDuration),
    /// A token for a request at or after the expiry.
    Late,
    /// A refusal of a secret that is expired, replaced or deleted.
    RightlyRefused,
    /// A refusal of the first secret of a key before its first token.
    NotYetKnown,
    /// A refusal of a valid secret.
    WronglyRefused,
    /// The server can't answer now.
    Unavailable,
}

impl Ledger {
    /// Records a value of a delivered Secret.
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
                // The replacement follows the request.
                let end = key.rotated.map(|asked| asked + OVERLAP);
                key.previous = key.newest.replace(holder).zip(end);
            }
            None => {}
        }
    }

    /// A request with one of the secrets of one of the keys. `n` chooses both.
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

    /// Judges the status of a response.
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
    /// Whether the key must exist at the end.
    pub(crate) fn lasts(&self) -> bool {
        self.expiry.is_none() && self.revoked == Revoked::No
    }

    /// Whether a rotation may be requested: no earlier one is under way.
    pub(crate) fn may_rotate(&self, now: Timestamp) -> bool {
        let quiet = OVERLAP + SignedDuration::from_secs(10);
        self.is_known && self.lasts() && self.rotated.is_none_or(|asked| asked + quiet <= now)
    }

    /// Whether the status is up to date with what was requested.
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
