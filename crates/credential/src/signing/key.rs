//! A signing key pair.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use k8s_openapi::jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::public::PublicKey;
use super::rotation::Lifetime;
use super::signature::{MAX_SIGNATURE, Signature};
use super::{Algorithm, Error};

/// Public members of a JSON Web Key, in the order in which RFC 7638 hashes them.
type Members = BTreeMap<&'static str, String>;

/// A key pair, ready to use.
pub struct SigningKey {
    kid: String,
    pair: Pair,
    public: PublicKey,
    members: Members,
    created_at: Timestamp,
    signs_from: Timestamp,
}

enum Pair {
    Es256(EcdsaKeyPair),
    Rs256(rsa::KeyPair),
    EdDsa(Ed25519KeyPair),
}

impl SigningKey {
    /// Generates a key that signs from this time, which is truncated to a second. RSA takes a tenth of a
    /// second or more, so don't call this on an async thread.
    ///
    /// # Errors
    /// Returns [`Error::Failed`] if the key can't be generated.
    pub fn generate(
        algorithm: Algorithm,
        created_at: Timestamp,
        signs_from: Timestamp,
    ) -> Result<Self, Error> {
        let failed = |_| Error::Failed("make a signing key");
        let pair = match algorithm {
            Algorithm::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
                .map(Pair::Es256)
                .map_err(failed)?,
            Algorithm::Rs256 => rsa::KeyPair::generate(KeySize::Rsa2048)
                .map(Pair::Rs256)
                .map_err(failed)?,
            Algorithm::EdDsa => Ed25519KeyPair::generate()
                .map(Pair::EdDsa)
                .map_err(failed)?,
        };
        Self::new(pair, whole_second(created_at), whole_second(signs_from))
    }

    /// Reads the key from a PKCS #8 document (RFC 5958).
    pub(super) fn from_pkcs8(
        algorithm: Algorithm,
        pkcs8: &[u8],
        created_at: Timestamp,
        signs_from: Timestamp,
    ) -> Result<Self, Error> {
        let unusable = |_| Error::Unusable;
        let pair = match algorithm {
            Algorithm::Es256 => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map(Pair::Es256)
            }
            Algorithm::Rs256 => rsa::KeyPair::from_pkcs8(pkcs8).map(Pair::Rs256),
            Algorithm::EdDsa => Ed25519KeyPair::from_pkcs8(pkcs8).map(Pair::EdDsa),
        };
        Self::new(pair.map_err(unusable)?, created_at, signs_from)
    }

    fn new(pair: Pair, created_at: Timestamp, signs_from: Timestamp) -> Result<Self, Error> {
        let members = pair.public()?;
        let public = PublicKey::from_jwk(&serde_json::json!(members));
        Ok(Self {
            kid: thumbprint(&members)?,
            public: public.map_err(|_| Error::Unusable)?,
            pair,
            members,
            created_at,
            signs_from,
        })
    }

    /// Id of the key: its SHA-256 thumbprint (RFC 7638) in base64url.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Signature algorithm of the key.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self.pair {
            Pair::Es256(_) => Algorithm::Es256,
            Pair::Rs256(_) => Algorithm::Rs256,
            Pair::EdDsa(_) => Algorithm::EdDsa,
        }
    }

    /// Time at which the key was created.
    #[must_use]
    pub const fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// Time from which the key signs.
    #[must_use]
    pub const fn signs_from(&self) -> Timestamp {
        self.signs_from
    }

    /// Signs the message in the format of RFC 7515. An ES256 signature is r and s, with 32 bytes each.
    ///
    /// # Errors
    /// Returns [`Error::Failed`] if the library can't sign.
    pub fn sign(&self, message: &[u8]) -> Result<Signature, Error> {
        let failed = |_| Error::Failed("sign");
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Es256(pair) => Signature::copy(&pair.sign(&random, message).map_err(failed)?),
            Pair::EdDsa(pair) => Signature::copy(&pair.try_sign(message).map_err(failed)?),
            Pair::Rs256(pair) => Signature::fill(|bytes| {
                pair.sign(&RSA_PKCS1_SHA256, &random, message, bytes)
                    .map_err(failed)
            }),
        }
    }

    /// The public key.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The public key as a JSON Web Key (RFC 7517), with `use`, `alg` and `kid`.
    #[must_use]
    pub fn jwk(&self) -> serde_json::Value {
        let usage = [
            ("use", "sig"),
            ("alg", self.algorithm().as_str()),
            ("kid", &self.kid),
        ];
        let members = self.members.iter().map(|(name, value)| (*name, &**value));
        let members = members
            .chain(usage)
            .map(|(name, value)| (name.to_owned(), value.into()));
        serde_json::Value::Object(members.collect())
    }

    /// The key as a PKCS #8 document. It contains the private key in clear text.
    pub(super) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let failed = |_| Error::Failed("write a signing key");
        let copy = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
        match &self.pair {
            Pair::Es256(pair) => pair.to_pkcs8v1().map(|der| copy(der.as_ref())),
            // Version 1 does not contain the public key, and other programs can read it.
            Pair::EdDsa(pair) => pair.to_pkcs8v1().map(|der| copy(der.as_ref())),
            Pair::Rs256(pair) => pair
                .as_der()
                .map(|der: Pkcs8V1Der<'static>| copy((*der).as_ref())),
        }
        .map_err(failed)
    }
}

impl Pair {
    fn public(&self) -> Result<Members, Error> {
        let members = match self {
            Self::Es256(pair) => {
                // An uncompressed point is 4, x, y (SEC 1, 2.3.3).
                let point = pair.public_key().as_ref().strip_prefix(&[4]);
                let (x, y) = point
                    .and_then(|point| point.split_at_checked(32))
                    .ok_or(Error::Unusable)?;
                vec![
                    ("kty", "EC".to_owned()),
                    ("crv", "P-256".to_owned()),
                    ("x", BASE64URL.encode(x)),
                    ("y", BASE64URL.encode(y)),
                ]
            }
            Self::Rs256(pair) => {
                if pair.public_modulus_len() != MAX_SIGNATURE {
                    return Err(Error::Unusable);
                }
                let PublicKeyComponents { n, e } =
                    PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                vec![
                    ("kty", "RSA".to_owned()),
                    ("n", BASE64URL.encode(n)),
                    ("e", BASE64URL.encode(e)),
                ]
            }
            Self::EdDsa(pair) => vec![
                ("kty", "OKP".to_owned()),
                ("crv", "Ed25519".to_owned()),
                ("x", BASE64URL.encode(pair.public_key())),
            ],
        };
        Ok(members.into_iter().collect())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, {})", self.kid, self.algorithm())
    }
}

impl Lifetime for SigningKey {
    fn kid(&self) -> &str {
        self.kid()
    }

    fn algorithm(&self) -> Algorithm {
        self.algorithm()
    }

    fn signs_from(&self) -> Timestamp {
        self.signs_from
    }
}

/// RFC 7638: base64url of the SHA-256 of the required members, sorted by name and without spaces.
fn thumbprint(public: &Members) -> Result<String, Error> {
    let json = serde_json::to_vec(public).map_err(|_| Error::Failed("name a signing key"))?;
    Ok(BASE64URL.encode(Sha256::digest(json)))
}

/// The stored format has no fractions of a second.
fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation};

    use super::*;

    fn key(algorithm: Algorithm) -> SigningKey {
        let epoch = Timestamp::UNIX_EPOCH;
        SigningKey::generate(algorithm, epoch, epoch).unwrap()
    }

    #[test]
    fn only_the_signed_message_and_only_under_its_key_verifies() {
        for algorithm in Algorithm::ALL {
            let (ours, other) = (key(algorithm), key(algorithm));
            let signature = ours.sign(b"message").unwrap();
            let signature = signature.as_ref();
            let verify = |key: &SigningKey, message: &[u8], signature: &[u8]| {
                key.public().verify(message, &BASE64URL.encode(signature))
            };
            let length = if algorithm == Algorithm::Rs256 {
                256
            } else {
                64
            };
            assert_eq!(signature.len(), length);
            assert!(verify(&ours, b"message", signature), "{algorithm}");
            assert!(!verify(&ours, b"massage", signature), "{algorithm}");
            assert!(!verify(&other, b"message", signature), "{algorithm}");
            assert!(!verify(&ours, b"message", &signature[1..]), "{algorithm}");
            assert!(!verify(&ours, b"message", b""), "{algorithm}");
            let mut flipped = signature.to_vec();
            flipped[20] ^= 1;
            assert!(!verify(&ours, b"message", &flipped), "{algorithm}");
        }
    }

    /// The claims that `jsonwebtoken` reads from a token of this key, with only the public key.
    fn read(key: &SigningKey, published: &SigningKey, tamper: bool) -> Option<String> {
        let encode = |json: serde_json::Value| BASE64URL.encode(json.to_string());
        let header = serde_json::json!({"alg": key.algorithm().as_str(), "kid": key.kid()});
        let claims = |sub: &str| encode(serde_json::json!({"sub": sub, "exp": 32_000_000_000_i64}));
        let message = format!("{}.{}", encode(header), claims("ours"));
        let signature = BASE64URL.encode(key.sign(message.as_bytes()).unwrap());
        let message = if tamper {
            message.replace(&claims("ours"), &claims("theirs"))
        } else {
            message
        };
        let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(published.jwk()).unwrap();
        assert_eq!(jwk.common.key_id.as_deref(), Some(published.kid()));
        let algorithm = published.algorithm().as_str().parse().unwrap();
        let token = jsonwebtoken::decode::<serde_json::Value>(
            format!("{message}.{signature}"),
            &DecodingKey::from_jwk(&jwk).unwrap(),
            &Validation::new(algorithm),
        );
        Some(token.ok()?.claims["sub"].as_str()?.to_owned())
    }

    #[test]
    fn another_implementation_reads_our_keys_and_signatures() {
        for algorithm in Algorithm::ALL {
            let (ours, other) = (key(algorithm), key(algorithm));
            assert_eq!(read(&ours, &ours, false).as_deref(), Some("ours"));
            assert_eq!(read(&ours, &ours, true), None, "{algorithm}");
            assert_eq!(read(&ours, &other, false), None, "{algorithm}");
            let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(ours.jwk()).unwrap();
            let hash = jsonwebtoken::jwk::ThumbprintHash::SHA256;
            assert_eq!(jwk.thumbprint(hash).unwrap(), ours.kid());
        }
    }

    #[test]
    fn a_published_key_has_its_public_members_and_no_other() {
        let members = |algorithm| {
            let jwk = key(algorithm).jwk();
            let names: Vec<_> = jwk.as_object().unwrap().keys().cloned().collect();
            assert_eq!(
                (&jwk["use"], &jwk["alg"]),
                (&"sig".into(), &algorithm.as_str().into())
            );
            names.join(" ")
        };
        assert_eq!(members(Algorithm::Es256), "alg crv kid kty use x y");
        assert_eq!(members(Algorithm::Rs256), "alg e kid kty n use");
        assert_eq!(members(Algorithm::EdDsa), "alg crv kid kty use x");
    }

    #[test]
    fn key_ids_are_those_of_rfc_7638_and_rfc_8037() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L\
                 6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4Q\
                 yQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOp\
                 bISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFC\
                 ur-kEgU8awapJzKnqDKgw";
        let rsa = [("kty", "RSA"), ("n", n), ("e", "AQAB")];
        let rsa = rsa.map(|(name, value)| (name, value.to_owned())).into();
        assert_eq!(
            thumbprint(&rsa).unwrap(),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
        // RFC 8037 A.1 in the encoding of RFC 8410 section 7.
        let mut pkcs8 =
            b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
        let seed = BASE64URL.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
        pkcs8.extend(seed.unwrap());
        let epoch = Timestamp::UNIX_EPOCH;
        let ed25519 = SigningKey::from_pkcs8(Algorithm::EdDsa, &pkcs8, epoch, epoch).unwrap();
        assert_eq!(
            ed25519.jwk()["x"],
            "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
        );
        assert_eq!(ed25519.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert_eq!(ed25519.to_pkcs8().unwrap().as_slice(), pkcs8);
    }
}
