//! Fingerprints: the HMAC-SHA256 of a secret under a pepper that never leaves the operator's namespace.
//!
//! A secret has 256 random bits, so a matching fingerprint is sufficient proof, and it costs less than a
//! microsecond. If the pepper is lost, the argon2id hash decides. Source: RFC 2104, NIST SP 800-224.

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

/// The fingerprint that a credential record has of a secret, in addition to its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fingerprint {
    /// Id of the pepper in the ring.
    pub pepper_id: String,
    /// HMAC-SHA256(pepper, secret) in unpadded base64.
    pub value: String,
}

/// The peppers, oldest first. The last pepper creates new fingerprints, and all of them verify.
#[derive(Clone)]
pub struct PepperRing {
    stored: Stored,
    /// The peppers of `stored` in the same order, ready to use.
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
    /// The document can't be read. See [`Unreadable`].
    #[error("the pepper ring can't be read: {0}")]
    Unreadable(#[from] Unreadable),
    /// The ring has no peppers, or one that is not 32 bytes in base64.
    #[error("the pepper ring has no usable pepper")]
    Unusable,
    /// Random bytes are not available.
    #[error(transparent)]
    Random(#[from] random::Error),
}

impl Fingerprint {
    /// The bytes of the HMAC. `None` if the stored text is not an HMAC.
    #[must_use]
    pub fn bytes(&self) -> Option<[u8; 32]> {
        BASE64.decode(&self.value).ok()?.try_into().ok()
    }
}

impl PepperRing {
    /// Creates a ring with one new pepper.
    ///
    /// # Errors
    /// Returns [`Error::Random`] if random bytes are not available.
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

    /// Parses a stored ring.
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

    /// Returns the document to store. It contains the peppers in clear text.
    ///
    /// # Errors
    /// Returns [`serde_json::Error`] if the ring can't be serialized, which its types prevent.
    pub fn to_json(&self) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
        serde_json::to_vec(&self.stored).map(Zeroizing::new)
    }

    /// Returns the fingerprint of the secret under the newest pepper.
    ///
    /// # Errors
    /// Returns [`Error::Unusable`] for a ring without peppers, which [`Self::parse`] prevents.
    pub fn fingerprint(&self, secret: &Secret) -> Result<Fingerprint, Error> {
        let pepper = self.keyed.last().ok_or(Error::Unusable)?;
        Ok(Fingerprint {
            pepper_id: pepper.id.clone(),
            value: BASE64.encode(pepper.mac(secret)),
        })
    }

    /// Returns the HMAC of the secret under this pepper. `None` if the pepper is not in the ring.
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

    /// Whether the secret has this fingerprint. `None` if its pepper is not in the ring. Compares in constant
    /// time.
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
