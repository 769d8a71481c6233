//! Public keys, read from a JSON Web Key of any issuer.

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::Value;

use super::Algorithm;

/// A public key. It verifies signatures only with its own algorithm, regardless of the algorithm that a token
/// names.
#[derive(Clone, Debug)]
pub struct PublicKey(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Es256(Vec<u8>),
    Rs256(PublicKeyComponents<Vec<u8>>),
    EdDsa(Vec<u8>),
}

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
        let kind = match (text("kty"), text("crv")) {
            // An uncompressed point is 4, x, y (SEC 1, 2.3.3).
            (Some("EC"), Some("P-256")) => {
                Kind::Es256([vec![4], exactly_32("x")?, exactly_32("y")?].concat())
            }
            (Some("OKP"), Some("Ed25519")) => Kind::EdDsa(exactly_32("x")?),
            (Some("RSA"), _) => Kind::Rs256(PublicKeyComponents {
                n: bytes("n")?,
                e: bytes("e")?,
            }),
            _ => return Err(BadJwk::Kind),
        };
        let key = Self(kind);
        let fits = |name, wanted| text(name).is_none_or(|text| text == wanted);
        if fits("use", "sig") && fits("alg", key.algorithm().as_str()) {
            Ok(key)
        } else {
            Err(BadJwk::Purpose)
        }
    }

    /// Signature algorithm of the key.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self.0 {
            Kind::Es256(_) => Algorithm::Es256,
            Kind::Rs256(_) => Algorithm::Rs256,
            Kind::EdDsa(_) => Algorithm::EdDsa,
        }
    }

    /// Whether the owner of the private key made this signature of the message.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let checked = match &self.0 {
            Kind::Es256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            Kind::EdDsa(point) => {
                UnparsedPublicKey::new(&ED25519, point).verify(message, signature)
            }
            Kind::Rs256(numbers) => numbers.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature),
        };
        checked.is_ok()
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
            let signature = key.sign(b"message").unwrap();
            assert!(public.verify(b"message", signature.as_ref()));
            assert!(!public.verify(b"another", signature.as_ref()));
            let foreign = other.sign(b"message").unwrap();
            assert!(!public.verify(b"message", foreign.as_ref()));
            assert!(!public.verify(b"message", b""));
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
    }
}
