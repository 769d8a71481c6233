//! The stored ring of signing keys.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::rotation::{self, Lifetime, RotationPolicy, Step};
use super::{Algorithm, Error, SigningKey};
use crate::versioned;

/// Version that this program writes and reads.
const VERSION: u32 = 1;

/// The keys that sign tokens, in the order in which they sign: oldest first.
#[derive(Clone, Debug, Default)]
pub struct SigningRing {
    keys: Vec<Arc<SigningKey>>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    keys: Vec<StoredKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredKey {
    kid: String,
    algorithm: Algorithm,
    created_at: Time,
    signs_from: Time,
    /// PKCS #8 in base64.
    key: Zeroizing<String>,
}

impl SigningRing {
    /// Parses a stored ring, which has at least one key.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        let stored: Stored = versioned::read(json, VERSION)?;
        let keys = stored.keys.into_iter().map(StoredKey::read);
        let ring = Self::of(keys.collect::<Result<_, _>>()?);
        let mut kids: Vec<_> = ring.keys.iter().map(Lifetime::kid).collect();
        kids.sort_unstable();
        let unique = kids.is_sorted_by(|a, b| a < b);
        if unique && !kids.is_empty() {
            Ok(ring)
        } else {
            Err(Error::Unusable)
        }
    }

    /// Returns the document to store. It contains the private keys in clear text.
    ///
    /// # Errors
    /// Returns [`Error::Failed`] if a key can't be serialized, which its types prevent.
    pub fn to_json(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let keys = self.keys.iter().map(|key| StoredKey::write(key));
        let keys = keys.collect::<Result<_, _>>()?;
        let version = VERSION;
        serde_json::to_vec(&Stored { version, keys })
            .map(Zeroizing::new)
            .map_err(|_| Error::Failed("write the signing ring"))
    }

    /// The key that signs at this time: the last key whose `signs_from` is not after `now`, or the first key
    /// if `now` is before all of them. `None` only for an empty ring.
    #[must_use]
    pub fn current(&self, now: Timestamp) -> Option<&Arc<SigningKey>> {
        self.keys.get(rotation::current(&self.keys, now)?)
    }

    /// The key with this id.
    #[must_use]
    pub fn find(&self, kid: &str) -> Option<&Arc<SigningKey>> {
        self.keys.iter().find(|key| key.kid() == kid)
    }

    /// All keys. All of them are published.
    #[must_use]
    pub fn keys(&self) -> &[Arc<SigningKey>] {
        &self.keys
    }

    /// The next rotation step at this time.
    #[must_use]
    pub fn next_step(&self, now: Timestamp, policy: &RotationPolicy) -> Step {
        rotation::next_step(&self.keys, now, policy)
    }

    /// Returns the ring after a step.
    #[must_use]
    pub fn changed(&self, add: Option<SigningKey>, remove: &[String]) -> Self {
        let stay = |key: &&Arc<SigningKey>| remove.iter().all(|kid| kid != key.kid());
        let keys = self.keys.iter().filter(stay).cloned();
        Self::of(keys.chain(add.map(Arc::new)).collect())
    }

    fn of(mut keys: Vec<Arc<SigningKey>>) -> Self {
        keys.sort_by(|a, b| (a.signs_from(), a.kid()).cmp(&(b.signs_from(), b.kid())));
        Self { keys }
    }
}

impl StoredKey {
    fn read(self) -> Result<Arc<SigningKey>, Error> {
        let pkcs8 = BASE64.decode(self.key.as_bytes());
        let pkcs8 = Zeroizing::new(pkcs8.map_err(|_| Error::Unusable)?);
        let (created_at, signs_from) = (self.created_at.0, self.signs_from.0);
        let key = SigningKey::from_pkcs8(self.algorithm, &pkcs8, created_at, signs_from)?;
        if key.kid() == self.kid {
            Ok(Arc::new(key))
        } else {
            Err(Error::Unusable)
        }
    }

    fn write(key: &SigningKey) -> Result<Self, Error> {
        Ok(Self {
            kid: key.kid().to_owned(),
            algorithm: key.algorithm(),
            created_at: Time(key.created_at()),
            signs_from: Time(key.signs_from()),
            key: Zeroizing::new(BASE64.encode(key.to_pkcs8()?)),
        })
    }
}

impl<K: Lifetime> Lifetime for Arc<K> {
    fn kid(&self) -> &str {
        (**self).kid()
    }

    fn algorithm(&self) -> Algorithm {
        (**self).algorithm()
    }

    fn signs_from(&self) -> Timestamp {
        (**self).signs_from()
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;

    use super::*;
    use crate::Unreadable;

    const NOW: i64 = 1_800_000_000;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn key(algorithm: Algorithm, signs_from: i64) -> SigningKey {
        SigningKey::generate(algorithm, at(NOW), at(signs_from)).unwrap()
    }

    /// A ring with one key per algorithm. The key that is added last signs first.
    fn ring() -> SigningRing {
        let from = [NOW + 7200, NOW + 3600, NOW];
        let keys = Algorithm::ALL.into_iter().zip(from);
        keys.fold(SigningRing::default(), |ring, (algorithm, from)| {
            ring.changed(Some(key(algorithm, from)), &[])
        })
    }

    fn kids(ring: &SigningRing) -> Vec<&str> {
        ring.keys().iter().map(Lifetime::kid).collect()
    }

    #[test]
    fn a_stored_ring_has_the_same_keys_and_verifies_what_they_signed() {
        let ring = ring();
        let json = ring.to_json().unwrap();
        let read = SigningRing::parse(&json).unwrap();
        assert_eq!(kids(&read), kids(&ring));
        assert_eq!(read.to_json().unwrap(), json);
        for (before, after) in ring.keys().iter().zip(read.keys()) {
            let signature = BASE64URL.encode(before.sign(b"message").unwrap());
            assert!(after.public().verify(b"message", &signature));
            assert_eq!(before.signs_from(), after.signs_from());
            assert_eq!(before.created_at(), after.created_at());
            assert_eq!(before.jwk(), after.jwk());
        }
    }

    #[test]
    fn the_latest_key_that_has_begun_signs_and_all_are_found() {
        let ring = ring();
        let kids = kids(&ring);
        let current = |now| ring.current(at(now)).unwrap().kid();
        assert_eq!(current(NOW), kids[0]);
        assert_eq!(current(NOW + 3599), kids[0]);
        assert_eq!(current(NOW + 3600), kids[1]);
        assert_eq!(current(NOW + 100_000), kids[2]);
        assert_eq!(current(NOW - 60), kids[0], "a clock that is behind");
        assert!(kids.iter().all(|kid| ring.find(kid).is_some()));
        assert!(ring.find("").is_none());
        assert!(SigningRing::default().current(at(NOW)).is_none());
    }

    #[test]
    fn a_step_adds_and_removes() {
        let ring = ring();
        let first = kids(&ring)[0].to_owned();
        let changed = ring.changed(Some(key(Algorithm::EdDsa, NOW + 9000)), &[first]);
        assert_eq!(kids(&changed)[..2], kids(&ring)[1..]);
        assert_eq!(changed.keys().len(), 3);
    }

    /// Fails if the text contains a private key or a recognizable part of one.
    fn assert_tells_nothing(ring: &SigningRing, text: &str) {
        for key in ring.keys() {
            let stored = StoredKey::write(key).unwrap().key;
            let secret_half = &stored[stored.len() / 2..];
            for part in secret_half.as_bytes().chunks_exact(12) {
                let part = std::str::from_utf8(part).unwrap();
                assert!(!text.contains(part), "{text}");
            }
        }
    }

    #[test]
    fn half_written_rings_are_refused_and_tell_no_key() {
        let ring = ring();
        let json = ring.to_json().unwrap();
        for cut in 0..json.len() {
            let error = SigningRing::parse(&json[..cut]).unwrap_err();
            assert!(
                matches!(error, Error::Unreadable(Unreadable::Malformed { .. })),
                "{error}"
            );
            assert_tells_nothing(&ring, &format!("{error} {error:?}"));
        }
        assert_tells_nothing(&ring, &format!("{ring:?}"));
        assert!(format!("{ring:?}").contains(kids(&ring)[0]));
    }

    #[test]
    fn rings_that_are_not_what_they_say_are_refused_and_tell_no_key() {
        let ring = ring();
        let json = String::from_utf8(ring.to_json().unwrap().to_vec()).unwrap();
        let secret = |n: usize| StoredKey::write(&ring.keys()[n]).unwrap().key;
        let newer = json.replace("\"version\":1", "\"version\":99");
        let error = SigningRing::parse(newer.as_bytes()).unwrap_err();
        let version = Unreadable::Version {
            found: 99,
            known: 1,
        };
        assert_eq!(error, Error::Unreadable(version));
        let entry = json.split_once('[').unwrap().1.trim_end_matches("]}");
        for unusable in [
            json.replace(secret(0).as_str(), "AAAA"),
            json.replace(secret(0).as_str(), "not base 64"),
            json.replace(secret(0).as_str(), &secret(1)),
            json.replace(kids(&ring)[0], kids(&ring)[1]),
            json.replace("\"EdDSA\"", "\"ES256\""),
            format!("{{\"version\":1,\"keys\":[{entry},{entry}]}}"),
            "{\"version\":1,\"keys\":[]}".to_owned(),
        ] {
            let error = SigningRing::parse(unusable.as_bytes()).unwrap_err();
            assert_eq!(error, Error::Unusable);
            assert_tells_nothing(&ring, &format!("{error} {error:?}"));
        }
        for malformed in [
            json.replace("\"EdDSA\"", "\"HS256\""),
            json.replace("\"key\":", "\"kai\":"),
            json.replace(&format!("\"{}\"", secret(1).as_str()), "7"),
        ] {
            let error = SigningRing::parse(malformed.as_bytes()).unwrap_err();
            assert!(
                matches!(error, Error::Unreadable(Unreadable::Malformed { .. })),
                "{error}"
            );
        }
    }
}
