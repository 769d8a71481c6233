//! Checks whether a secret belongs to a key. The cheapest check is first, and forged secrets never
//! reach argon2id.
//!
//! The order is: length, alphabet and checksum; key id in the index; name; fingerprint. argon2id
//! decides only if the pepper of a fingerprint is lost. A secret that argon2id accepted is
//! remembered by a tag, made with a key of this process. An unknown key id costs as much time as a
//! wrong secret.

use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use k8s_openapi::jiff::Timestamp;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::index::{Credential, Index, Proof, Standing};
use super::refusal::Refusal;
use apikey_credential::fingerprint::PepperRing;
use apikey_credential::{Secret, random};

/// An authenticated key.
#[derive(Clone, Debug)]
pub struct Proven {
    /// The key.
    pub credential: Arc<Credential>,
    /// Number of the presented secret.
    pub revision: i64,
    /// The secret is refused from this time: the expiry, or the end of its overlap.
    pub until: Timestamp,
    /// Whether the secret was replaced and is in its overlap.
    pub replaced: bool,
    /// The check that decided.
    pub path: Path,
}

/// The check that accepted a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// The fingerprint.
    Fingerprint,
    /// The tag of a secret that argon2id accepted before.
    Cache,
    /// argon2id.
    Argon2,
}

/// How a caller names the key.
#[derive(Clone, Copy, Debug)]
pub enum Login<'a> {
    /// By its login name.
    Name(&'a str),
    /// By its login name or its public id.
    NameOrId(&'a str),
    /// Not at all: the secret names the key.
    Implied,
}

impl Login<'_> {
    fn fits(self, credential: &Credential) -> bool {
        let same = |a: &str, b: &str| bool::from(a.as_bytes().ct_eq(b.as_bytes()));
        match self {
            Self::Name(name) => same(name, &credential.login_name),
            Self::NameOrId(name) => {
                same(name, &credential.login_name) || same(name, credential.key_id().as_str())
            }
            Self::Implied => true,
        }
    }
}

/// The result of a check without argon2id.
#[derive(Debug)]
pub enum CheckOutcome {
    /// The secret belongs to the key, and the key may be used.
    Proven(Proven),
    /// The secret does not belong to the key, or the key may not be used.
    Refused(Refusal, Option<Arc<Credential>>),
    /// Only argon2id can decide.
    Undecided(Undecided),
}

/// A secret that only argon2id can check.
#[derive(Debug)]
pub struct Undecided {
    /// The secret.
    pub secret: Secret,
    /// Its tag.
    pub tag: [u8; 32],
    /// The key, unless it is unknown.
    pub credential: Option<Arc<Credential>>,
    /// The hashes to check, each with its position in the proofs of the key.
    pub hashes: Vec<(usize, Arc<str>)>,
}

/// Checks secrets against an index.
#[derive(Debug)]
pub struct SecretChecker {
    index: Arc<Index>,
    tags: TagKey,
}

/// Key of the tags, different in each process.
struct TagKey(Hmac<Sha256>);

impl std::fmt::Debug for TagKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TagKey")
    }
}

impl SecretChecker {
    /// Creates a checker with a new key for tags.
    ///
    /// # Errors
    /// The system provides no random bytes.
    pub fn new(index: Arc<Index>) -> Result<Self, random::Error> {
        let key = random::bytes::<64>()?;
        Ok(Self {
            index,
            tags: TagKey(Hmac::new(&key.into())),
        })
    }

    /// Checks a presented secret at this time, without argon2id.
    #[must_use]
    pub fn check(&self, presented: &str, login: Login<'_>, now: Timestamp) -> CheckOutcome {
        let Ok(secret) = Secret::parse(presented) else {
            return CheckOutcome::Refused(Refusal::MalformedSecret, None);
        };
        let peppers = self.index.peppers();
        let peppers = peppers.as_deref();
        // An unknown id is compared with another key, so that it costs as much as a wrong secret.
        let Some(credential) = self.index.nearest(secret.key_id()) else {
            return CheckOutcome::Refused(Refusal::UnknownKey, None);
        };
        let search = std::hint::black_box(search(&credential.evidence.proofs, &secret, peppers));
        let name_fits = login.fits(&credential);
        if credential.key_id() != secret.key_id() {
            return self.unknown(secret);
        }
        if !name_fits {
            return CheckOutcome::Refused(Refusal::WrongName, Some(credential));
        }
        match search {
            Search::Found(place) => conclude(credential, place, Path::Fingerprint, now),
            Search::None => CheckOutcome::Refused(Refusal::WrongSecret, Some(credential)),
            Search::Undecided(places) => self.remembered(secret, credential, &places, now),
        }
    }

    /// The outcome after argon2id accepted the proof at `place`, or none.
    #[must_use]
    pub fn decided(
        &self,
        question: &Undecided,
        place: Option<usize>,
        now: Timestamp,
    ) -> CheckOutcome {
        let Some(credential) = question.credential.clone() else {
            return CheckOutcome::Refused(Refusal::UnknownKey, None);
        };
        // The key may have changed while argon2id ran, so its current state decides.
        let current = self.index.get(credential.key_id());
        let Some(current) = current.filter(|current| current.uid == credential.uid) else {
            return CheckOutcome::Refused(Refusal::UnknownKey, Some(credential));
        };
        let Some(hash) = place.and_then(|place| credential.evidence.proofs.get(place)) else {
            return CheckOutcome::Refused(Refusal::WrongSecret, Some(current));
        };
        let mut proofs = current.evidence.proofs.iter();
        let Some(place) = proofs.position(|proof| proof.hash == hash.hash) else {
            return CheckOutcome::Refused(Refusal::ReplacedSecret, Some(current));
        };
        if let Some(proof) = current.evidence.proofs.get(place) {
            let _ = proof.proven.set(question.tag);
        }
        conclude(current, place, Path::Argon2, now)
    }

    fn unknown(&self, secret: Secret) -> CheckOutcome {
        let Some(dummy_hash) = self.index.dummy_hash() else {
            return CheckOutcome::Refused(Refusal::UnknownKey, None);
        };
        CheckOutcome::Undecided(Undecided {
            tag: self.tag(&secret),
            secret,
            credential: None,
            hashes: vec![(0, dummy_hash)],
        })
    }

    fn remembered(
        &self,
        secret: Secret,
        credential: Arc<Credential>,
        places: &[usize],
        now: Timestamp,
    ) -> CheckOutcome {
        let tag = self.tag(&secret);
        let proofs = &credential.evidence.proofs;
        let known = places.iter().copied().find(|&place| {
            let proven = proofs.get(place).and_then(|proof| proof.proven.get());
            proven.is_some_and(|proven| proven.ct_eq(&tag).into())
        });
        if let Some(place) = known {
            return conclude(credential, place, Path::Cache, now);
        }
        let hash_at = |&place: &usize| Some((place, Arc::clone(&proofs.get(place)?.hash)));
        CheckOutcome::Undecided(Undecided {
            hashes: places.iter().filter_map(hash_at).collect(),
            secret,
            tag,
            credential: Some(credential),
        })
    }

    fn tag(&self, secret: &Secret) -> [u8; 32] {
        let mut mac = self.tags.0.clone();
        mac.update(secret.expose().as_bytes());
        mac.finalize().into_bytes().into()
    }
}

enum Search {
    Found(usize),
    None,
    Undecided(Vec<usize>),
}

/// Searches the proofs for one of the secret.
fn search(proofs: &[Proof], secret: &Secret, peppers: Option<&PepperRing>) -> Search {
    let mut undecided = Vec::new();
    let mut last: Option<(&str, Option<[u8; 32]>)> = None;
    for (place, proof) in proofs.iter().enumerate() {
        let mac = match last {
            Some((pepper, mac)) if *pepper == *proof.pepper_id => mac,
            _ => peppers.and_then(|ring| ring.mac(&proof.pepper_id, secret)),
        };
        last = Some((&proof.pepper_id, mac));
        match (mac, proof.fingerprint) {
            (Some(mac), Some(fingerprint)) => {
                if mac.ct_eq(&fingerprint).into() {
                    return Search::Found(place);
                }
            }
            _ => undecided.push(place),
        }
    }
    if undecided.is_empty() {
        Search::None
    } else {
        Search::Undecided(undecided)
    }
}

/// Decides whether the secret at this position may be used.
fn conclude(credential: Arc<Credential>, place: usize, path: Path, now: Timestamp) -> CheckOutcome {
    let Some(proof) = credential.evidence.proofs.get(place) else {
        return CheckOutcome::Refused(Refusal::WrongSecret, Some(credential));
    };
    let until = credential.end_of(proof);
    let refusal = match &credential.standing {
        _ if now >= credential.expires_at => Some(Refusal::Expired),
        _ if now >= until => Some(Refusal::ReplacedSecret),
        Standing::Usable { .. } => None,
        Standing::Suspended => Some(Refusal::Suspended),
        Standing::Deleted => Some(Refusal::Deleted),
        Standing::NotAllowed => Some(Refusal::NotAllowed),
    };
    match refusal {
        Some(refusal) => CheckOutcome::Refused(refusal, Some(credential)),
        None => CheckOutcome::Proven(Proven {
            revision: proof.revision,
            replaced: proof.valid_until.is_some(),
            credential,
            until,
            path,
        }),
    }
}

#[cfg(test)]
mod tests;
