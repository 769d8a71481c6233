//! Signs access tokens, and reads tokens that it signed. Tokens use JWS compact serialization (RFC
//! 7515) and the header type of RFC 9068. As RFC 8725 recommends, the key alone determines the
//! algorithm, only keys of the ring are used, and other types of tokens are rejected.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use super::claims::Claims;
use super::document::Document;
use super::refusal::Refusal;
use super::size::MAX_TOKEN_BYTES;
use apikey_credential::jwt::{ACCESS_TOKEN_TYPE, Signed, Token};
use apikey_credential::signing::{SigningKey, SigningRing};

/// Signs and reads access tokens.
#[derive(Debug)]
pub struct Signer {
    ring: SigningRing,
    /// The encoded header for each key of the ring.
    headers: Vec<(Arc<SigningKey>, String)>,
    jwks: Document,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'static str,
    kid: &'a str,
}

impl Signer {
    /// Creates a signer with these keys.
    ///
    /// # Errors
    /// [`serde_json::Error`] if a header can't be serialized, which its types rule out.
    pub fn new(ring: SigningRing) -> Result<Self, serde_json::Error> {
        let mut headers = Vec::new();
        for key in ring.keys() {
            let header = Header {
                alg: key.algorithm().as_str(),
                typ: ACCESS_TOKEN_TYPE,
                kid: key.kid(),
            };
            let encoded = BASE64URL.encode(serde_json::to_vec(&header)?);
            headers.push((Arc::clone(key), encoded));
        }
        let keys: Vec<_> = ring.keys().iter().map(|key| key.jwk()).collect();
        let jwks = serde_json::to_string(&serde_json::json!({ "keys": keys }))?;
        Ok(Self {
            ring,
            headers,
            jwks: Document::new(jwks),
        })
    }

    /// The JSON Web Key Set (RFC 7517): all keys, including future and retired ones.
    #[must_use]
    pub const fn jwks(&self) -> &Document {
        &self.jwks
    }

    /// The time since which the current key signs.
    #[must_use]
    pub fn current_since(&self, now: Timestamp) -> Option<Timestamp> {
        self.ring.current(now).map(|key| key.signs_from())
    }

    /// Signs a token with these claims.
    ///
    /// # Errors
    /// [`Refusal::NoSigningKey`].
    pub fn sign(&self, claims: &Claims<'_>, now: Timestamp) -> Result<String, Refusal> {
        let current = self.ring.current(now).ok_or(Refusal::NoSigningKey)?;
        let mut headers = self.headers.iter();
        let (key, header) = headers
            .find(|(key, _)| Arc::ptr_eq(key, current))
            .ok_or(Refusal::NoSigningKey)?;
        let json = serde_json::to_vec(claims).map_err(|_| Refusal::NoSigningKey)?;
        let mut token = String::with_capacity(header.len() + json.len() * 4 / 3 + 360);
        token.push_str(header);
        token.push('.');
        BASE64URL.encode_string(&json, &mut token);
        let signature = key.sign(token.as_bytes());
        let signature = signature.map_err(|_| Refusal::NoSigningKey)?;
        token.push('.');
        BASE64URL.encode_string(signature.as_ref(), &mut token);
        Ok(token)
    }

    /// The claims of a token that a key of the ring signed. It does not check the time.
    #[must_use]
    pub fn verify(&self, token: &str) -> Option<Claims<'static>> {
        let token = Token::parse(token, MAX_TOKEN_BYTES).ok()?;
        let key = self.ring.find(token.kid()?)?;
        let signed = token.verify_access_token::<Claims<'static>>(key.public());
        signed.ok().map(Signed::at_any_time)
    }
}

#[cfg(test)]
mod tests;
