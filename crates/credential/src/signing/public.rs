//! Public keys, read from a JSON Web Key of any issuer.

use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use jsonwebtoken::DecodingKey;
use serde_json::Value;

use super::Algorithm;

/// A public key. It verifies signatures only with its own algorithm, regardless of the algorithm that a token
/// names.
#[derive(Clone, Debug)]
pub struct PublicKey {
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Lengths of an RSA modulus: 2048 to 8192 bits. RFC 7518 section 3.3 has no upper bound. Unit: bytes.
const RSA_BYTES: RangeInclusive<usize> = 256..=1024;

/// A JSON Web Key can't be used to verify tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadJwk {
    /// The kind of the key is not supported.
    #[error("its kind is none of EC with P-256, RSA, and OKP with Ed25519")]
    Kind,
    /// The key states another purpose.
    #[error("it is not for checking signatures by the algorithm of its kind")]
    Purpose,
    /// A member is missing or has the wrong length.
    #[error("its member '{0}' is missing or malformed")]
    Member(&'static str),
}

impl PublicKey {
    /// Parses a JSON Web Key (RFC 7517).
    ///
    /// # Errors
    /// See [`BadJwk`].
    pub fn from_jwk(jwk: &Value) -> Result<Self, BadJwk> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let bytes = |name: &'static str| {
            let bytes = text(name).and_then(|text| BASE64URL.decode(text).ok());
            bytes.ok_or(BadJwk::Member(name))
        };
        let exactly_32 = |name: &'static str| {
            let bytes = bytes(name)?;
            if bytes.len() == 32 {
                Ok(bytes)
            } else {
                Err(BadJwk::Member(name))
            }
        };
        let (algorithm, key) = match (text("kty"), text("crv")) {
            // An uncompressed point is 4, x, y (SEC 1, 2.3.3).
            (Some("EC"), Some("P-256")) => {
                let point = [vec![4], exactly_32("x")?, exactly_32("y")?].concat();
                (Algorithm::Es256, DecodingKey::from_ec_der(&point))
            }
            (Some("OKP"), Some("Ed25519")) => {
                let point = exactly_32("x")?;
                (Algorithm::EdDsa, DecodingKey::from_ed_der(&point))
            }
            (Some("RSA"), _) => {
                let (n, e) = (bytes("n")?, bytes("e")?);
                if !RSA_BYTES.contains(&n.len()) {
                    return Err(BadJwk::Member("n"));
                }
                let key = DecodingKey::from_rsa_raw_components(&n, &e);
                (Algorithm::Rs256, key)
            }
            _ => return Err(BadJwk::Kind),
        };
        let fits = |name, wanted| text(name).is_none_or(|text| text == wanted);
        if fits("use", "sig") && fits("alg", algorithm.as_str()) {
            Ok(Self { algorithm, key })
        } else {
            Err(BadJwk::Purpose)
        }
    }

    /// Signature algorithm of the key.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether the owner of the private key made this signature of the message. The signature is in the
    /// format of RFC 7515, in base64url.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &str) -> bool {
        let algorithm = match self.algorithm {
            Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
            Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
            Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        };
        jsonwebtoken::crypto::verify(signature, message, &self.key, algorithm)
            .is_ok_and(|is_right| is_right)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::signing::SigningKey;

    #[test]
    fn what_a_key_signs_its_published_half_checks_and_no_other() {
        for algorithm in Algorithm::ALL {
            let now = Timestamp::UNIX_EPOCH;
            let [key, other] = [(); 2].map(|()| SigningKey::generate(algorithm, now, now).unwrap());
            let public = PublicKey::from_jwk(&key.jwk()).unwrap();
            assert_eq!(public.algorithm(), algorithm);
            let signature = BASE64URL.encode(key.sign(b"message").unwrap());
            assert!(public.verify(b"message", &signature));
            assert!(!public.verify(b"another", &signature));
            let foreign = BASE64URL.encode(other.sign(b"message").unwrap());
            assert!(!public.verify(b"message", &foreign));
            assert!(!public.verify(b"message", ""));
        }
    }

    #[test]
    fn a_key_for_something_else_is_refused() {
        let now = Timestamp::UNIX_EPOCH;
        let jwk = SigningKey::generate(Algorithm::Es256, now, now)
            .unwrap()
            .jwk();
        let with = |name: &str, value: Value| {
            let mut changed = jwk.clone();
            changed[name] = value;
            PublicKey::from_jwk(&changed).unwrap_err()
        };
        assert_eq!(with("use", json!("enc")), BadJwk::Purpose);
        assert_eq!(with("alg", json!("RS256")), BadJwk::Purpose);
        assert_eq!(with("kty", json!("oct")), BadJwk::Kind);
        assert_eq!(with("crv", json!("P-384")), BadJwk::Kind);
        assert_eq!(with("x", json!("AA")), BadJwk::Member("x"));
        for bytes in [128, 255, 1025] {
            let n = BASE64URL.encode(vec![0xff; bytes]);
            let rsa = json!({"kty": "RSA", "n": n, "e": "AQAB"});
            let refused = PublicKey::from_jwk(&rsa).unwrap_err();
            assert_eq!(refused, BadJwk::Member("n"), "{bytes}");
        }
    }
}
