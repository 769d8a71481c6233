//! Fingerprint: HMAC-SHA256 of a secret under a pepper that never leaves the operator's namespace.
//!
//! A secret holds 256 random bits, so its fingerprint is conclusive and costs under a microsecond;
//! the argon2id hash decides where the pepper is lost. Source: RFC 2104, NIST SP 800-224.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{Secret, Unreadable, hex, random, versioned};

/// Version of the pepper ring that this program writes and reads.
const RING_VERSION: u32 = 1;

/// What a verifier keeps of a secret, beside its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fingerprint {
    /// Which pepper of the ring.
    pub pepper_id: String,
    /// HMAC-SHA256(pepper, secret) in unpadded base 64.
    pub value: String,
}

/// The peppers, newest last. The last one makes new fingerprints; all of them check.
#[derive(Clone)]
pub struct PepperRing {
    stored: Stored,
    /// The peppers of `stored`, in that order, ready to use.
    keyed: Vec<Keyed>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    version: u32,
    peppers: Vec<Pepper>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pepper {
    id: String,
    key: Zeroizing<String>,
    created_at: Time,
}

#[derive(Clone)]
struct Keyed {
    id: String,
    mac: Hmac<Sha256>,
}

/// Why a pepper ring can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// See [`Unreadable`].
    #[error("the pepper ring can't be read: {0}")]
    Unreadable(#[from] Unreadable),
    /// No peppers, or one that is not 32 bytes in base 64.
    #[error("the pepper ring has no usable pepper")]
    Unusable,
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] random::Error),
}

impl Fingerprint {
    /// The HMAC; `None` if the stored text is not one.
    #[must_use]
    pub fn bytes(&self) -> Option<[u8; 32]> {
        BASE64.decode(&self.value).ok()?.try_into().ok()
    }
}

impl PepperRing {
    /// A ring with one fresh pepper.
    ///
    /// # Errors
    /// [`Error::Random`].
    pub fn generate(now: Timestamp) -> Result<Self, Error> {
        let mut key = Zeroizing::new([0; 32]);
        random::fill(&mut *key)?;
        let id = hex::encode(&random::bytes::<4>()?);
        let pepper = Pepper {
            id,
            key: Zeroizing::new(BASE64.encode(*key)),
            created_at: Time(now),
        };
        Self::of(Stored {
            version: RING_VERSION,
            peppers: vec![pepper],
        })
    }

    /// Reads a stored ring.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        Self::of(versioned::read(json, RING_VERSION)?)
    }

    fn of(stored: Stored) -> Result<Self, Error> {
        let keyed: Option<Vec<_>> = stored.peppers.iter().map(Pepper::keyed).collect();
        let keyed = keyed.filter(|all| !all.is_empty());
        let keyed = keyed.ok_or(Error::Unusable)?;
        Ok(Self { stored, keyed })
    }

    /// The document to store. It holds the peppers in clear.
    ///
    /// # Errors
    /// [`serde_json::Error`] if it can't be written, which its types exclude.
    pub fn to_json(&self) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
        serde_json::to_vec(&self.stored).map(Zeroizing::new)
    }

    /// Fingerprint of the secret under the newest pepper.
    ///
    /// # Errors
    /// [`Error::Unusable`] for a ring without peppers, which [`Self::parse`] excludes.
    pub fn fingerprint(&self, secret: &Secret) -> Result<Fingerprint, Error> {
        let pepper = self.keyed.last().ok_or(Error::Unusable)?;
        Ok(Fingerprint {
            pepper_id: pepper.id.clone(),
            value: BASE64.encode(pepper.mac(secret)),
        })
    }

    /// HMAC of the secret under this pepper; `None` if the pepper is not in the ring.
    #[must_use]
    pub fn mac(&self, pepper_id: &str, secret: &Secret) -> Option<[u8; 32]> {
        let pepper = self.keyed.iter().find(|pepper| pepper.id == pepper_id)?;
        Some(pepper.mac(secret))
    }

    /// Whether this pepper is in the ring.
    #[must_use]
    pub fn has(&self, pepper_id: &str) -> bool {
        self.keyed.iter().any(|pepper| pepper.id == pepper_id)
    }

    /// Whether the secret has this fingerprint; `None` if its pepper is not in the ring. Compares
    /// in constant time.
    #[must_use]
    pub fn matches(&self, secret: &Secret, fingerprint: &Fingerprint) -> Option<bool> {
        let expected = fingerprint.bytes()?;
        let mac = self.mac(&fingerprint.pepper_id, secret)?;
        Some(mac.ct_eq(&expected).into())
    }
}

impl Pepper {
    fn keyed(&self) -> Option<Keyed> {
        let key = Zeroizing::new(BASE64.decode(self.key.as_bytes()).ok()?);
        if key.len() != 32 {
            return None;
        }
        Some(Keyed {
            id: self.id.clone(),
            mac: Hmac::new_from_slice(&key).ok()?,
        })
    }
}

impl Keyed {
    fn mac(&self, secret: &Secret) -> [u8; 32] {
        let mut mac = self.mac.clone();
        mac.update(secret.expose().as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl std::fmt::Debug for PepperRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.keyed.iter().map(|pepper| &pepper.id))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyId;

    fn secret(n: u8) -> Secret {
        Secret::from_entropy(&KeyId::from_entropy([n; 10]), [n; 32])
    }

    fn ring() -> PepperRing {
        PepperRing::generate(Timestamp::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn a_stored_ring_recognises_what_it_fingerprinted() {
        let stored = ring();
        let fingerprint = stored.fingerprint(&secret(1)).unwrap();
        let ring = PepperRing::parse(&stored.to_json().unwrap()).unwrap();
        assert_eq!(ring.matches(&secret(1), &fingerprint), Some(true));
        assert_eq!(ring.matches(&secret(2), &fingerprint), Some(false));
    }

    #[test]
    fn a_lost_pepper_decides_nothing() {
        let fingerprint = ring().fingerprint(&secret(1)).unwrap();
        assert_eq!(ring().matches(&secret(1), &fingerprint), None);
    }

    #[test]
    fn damaged_rings_are_refused_and_errors_and_debug_show_no_key() {
        let ring = ring();
        let json = String::from_utf8(ring.to_json().unwrap().to_vec()).unwrap();
        let key = ring.stored.peppers[0].key.clone();
        for damaged in [
            &json[..json.len() / 2],
            &json.replace("\"version\":1", "\"version\":2"),
            &json.replace(key.as_str(), "AAAA"),
            "{\"version\":1,\"peppers\":[]}",
            "",
        ] {
            let error = PepperRing::parse(damaged.as_bytes()).unwrap_err();
            assert!(!format!("{error:?} {error}").contains(key.as_str()));
        }
        assert!(!format!("{ring:?}").contains(key.as_str()));
    }
}
