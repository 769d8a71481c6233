//! Checks signed JSON Web Tokens of any issuer.
//!
//! A [`Token`] shows only which key it names. Its claims can be read only after one [`PublicKey`] has verified
//! its signature.
//!
//! # Guarantees
//!
//! - The key determines the algorithm. The header can only agree with it, and there is no key for `none` or
//!   HMAC.
//! - Nothing longer than the bound of the caller is parsed.
//! - Header and claims are JSON objects, no member of a header is repeated, base64url has one form only, and no
//!   byte is left over.
//! - A header that demands an extension (`crit`, `b64`) is refused. Keys inside a header (`jwk`, `jku`, `x5c`,
//!   `x5u`) are never used.
//! - Times are compared with the time that the caller passes, never with the system clock.
//!
//! # Caveats
//!
//! The library `jsonwebtoken` verifies signatures, and header and claims are read here: its `decode` ignores
//! `crit`, accepts repeated members, parses both parts twice, and compares times with the system clock. The
//! caller compares issuer and audience.
//!
//! Sources: RFC 7515 (signatures), RFC 7519 (claims), RFC 7797 (`b64`), RFC 8725 (best practices), RFC 9068
//! (access tokens).

mod members;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::signing::{Algorithm, PublicKey};
pub use members::{Members, numeric_date};

/// Type of access tokens (RFC 9068 section 2.1), without the prefix `application/`.
pub const ACCESS_TOKEN_TYPE: &str = "at+jwt";

/// A token whose signature is not verified yet.
pub struct Token<'a> {
    /// `alg`, `typ` and `kid` are texts, if they are there.
    header: Members,
    parts: Parts<'a>,
}

/// The claims of a token whose signature was verified. The times were not checked yet.
#[derive(Debug)]
pub struct Signed<C>(C);

/// Header and claims of a token, only for people to read: anybody can have written them.
pub struct Unverified {
    /// The header.
    pub header: Map<String, Value>,
    /// The claims.
    pub claims: Map<String, Value>,
}

/// Why a text is not a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It has another number of parts.
    #[error("a token has three parts, separated by '.', and this has {0}")]
    Parts(usize),
    /// It is longer than this bound.
    #[error("it is longer than {0} characters")]
    Length(usize),
    /// This part can't be read.
    #[error("its {0} can't be read: it was cut or changed")]
    Part(&'static str),
}

/// Why a key does not verify a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The header demands that the reader understands an extension.
    #[error("its header demands an extension (`crit` or `b64`), and none is supported")]
    Extension,
    /// The header names another algorithm than that of the key.
    #[error("it is signed by '{found}', and its key is for {key}")]
    Algorithm {
        /// The algorithm of the header; empty if it has none.
        found: String,
        /// The algorithm of the key.
        key: Algorithm,
    },
    /// The signature is not of this token by this key.
    #[error("the signature is wrong: it was changed, or somebody else made it")]
    Signature,
    /// The token is of this type, in lower case.
    #[error("its type is '{0}', and an access token has the type {ACCESS_TOKEN_TYPE}")]
    Type(String),
    /// The claims are not what the reader expects. The key has signed them.
    #[error("its claims can't be read")]
    Claims,
}

/// Why a token is not valid at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untimely {
    /// It has no time of expiry that can be read.
    NoExpiry,
    /// It expired at this time.
    Expired(Timestamp),
    /// It is valid from this time on.
    NotYet(Timestamp),
    /// This claim is not a time.
    NoTime(&'static str),
}

/// The parts of a token in base64url.
struct Parts<'a> {
    header: &'a str,
    claims: &'a str,
    signature: &'a str,
    /// Header and claims, as they were signed.
    message: &'a str,
}

impl<'a> Token<'a> {
    /// Parses the header of a token of at most `max` bytes.
    ///
    /// # Errors
    /// See [`Malformed`].
    pub fn parse(text: &'a str, max: usize) -> Result<Self, Malformed> {
        let parts = Parts::split(text, max)?;
        let is_text = |header: &Members, name| header.get(name).is_none_or(Value::is_string);
        let header = object(parts.header)
            .filter(|header| {
                ["alg", "typ", "kid"]
                    .iter()
                    .all(|name| is_text(header, name))
            })
            .ok_or(Malformed::Part("header"))?;
        Ok(Self { header, parts })
    }

    /// The id of the key that the token names.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.header.text("kid")
    }

    /// The claims, if the token is an access token that this key signed.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn verify_access_token<C: DeserializeOwned>(
        &self,
        key: &PublicKey,
    ) -> Result<Signed<C>, Refused> {
        self.verify_signature(key)?;
        let typ = self.header.text("typ").unwrap_or_default();
        if !is_access_token(typ) {
            return Err(Refused::Type(typ.to_lowercase()));
        }
        object(self.parts.claims).map(Signed).ok_or(Refused::Claims)
    }

    fn verify_signature(&self, key: &PublicKey) -> Result<(), Refused> {
        if ["crit", "b64"]
            .iter()
            .any(|name| self.header.get(name).is_some())
        {
            return Err(Refused::Extension);
        }
        let alg = self.header.text("alg").unwrap_or_default();
        if alg != key.algorithm().as_str() {
            return Err(Refused::Algorithm {
                found: alg.to_owned(),
                key: key.algorithm(),
            });
        }
        if key.verify(self.parts.message.as_bytes(), self.parts.signature) {
            Ok(())
        } else {
            Err(Refused::Signature)
        }
    }
}

impl<C> Signed<C> {
    /// The claims, for callers that check the times themselves.
    #[must_use]
    pub fn at_any_time(self) -> C {
        self.0
    }
}

impl Signed<Members> {
    /// The claims, if `exp` is after this time and `nbf` and `iat` are at most `leeway` after it.
    ///
    /// # Errors
    /// See [`Untimely`].
    pub fn at(self, now: Timestamp, leeway: SignedDuration) -> Result<Members, Untimely> {
        let Self(claims) = self;
        let expiry = claims.time("exp").ok_or(Untimely::NoExpiry)?;
        if expiry <= now {
            return Err(Untimely::Expired(expiry));
        }
        for name in ["nbf", "iat"] {
            let Some(value) = claims.get(name) else {
                continue;
            };
            let from = numeric_date(value).ok_or(Untimely::NoTime(name))?;
            if from.duration_since(now) > leeway {
                return Err(Untimely::NotYet(from));
            }
        }
        Ok(claims)
    }
}

impl Unverified {
    /// Parses a token of at most `max` bytes.
    ///
    /// # Errors
    /// See [`Malformed`].
    pub fn parse(text: &str, max: usize) -> Result<Self, Malformed> {
        let parts = Parts::split(text, max)?;
        let unverified = Self {
            header: object(parts.header).ok_or(Malformed::Part("header"))?,
            claims: object(parts.claims).ok_or(Malformed::Part("claims"))?,
        };
        let signature = BASE64URL.decode(parts.signature);
        signature.map_err(|_| Malformed::Part("signature"))?;
        Ok(unverified)
    }
}

impl<'a> Parts<'a> {
    fn split(text: &'a str, max: usize) -> Result<Self, Malformed> {
        if text.len() > max {
            return Err(Malformed::Length(max));
        }
        let other = || Malformed::Parts(text.split('.').count());
        let (message, signature) = text.rsplit_once('.').ok_or_else(other)?;
        let (header, claims) = message.split_once('.').ok_or_else(other)?;
        if claims.contains('.') {
            return Err(other());
        }
        Ok(Self {
            header,
            claims,
            signature,
            message,
        })
    }
}

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token([redacted])")
    }
}

impl fmt::Debug for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unverified([redacted])")
    }
}

/// Parses a part that is a JSON object. Without the look at its first byte, a struct could be read from an
/// array as well.
fn object<T: DeserializeOwned>(part: &str) -> Option<T> {
    let json = BASE64URL.decode(part).ok()?;
    if !json.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    serde_json::from_slice(&json).ok()
}

/// Media types are compared without case, and `application/` can be left out (RFC 7515 section 4.1.9).
fn is_access_token(typ: &str) -> bool {
    let without_prefix = match typ.split_once('/') {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("application") => rest,
        Some(_) | None => typ,
    };
    without_prefix.eq_ignore_ascii_case(ACCESS_TOKEN_TYPE)
}

#[cfg(test)]
mod tests;
