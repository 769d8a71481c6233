//! Decides whether a token is valid at a given time. Pure.
//!
//! Sources: RFC 7519, RFC 8725 (one algorithm per key), RFC 9068 section 4.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::jwt::{self, Jwt};
use crate::time;
use apikey_credential::jwt::{Malformed, Members, Refused, Signed, Token, Untimely};
use apikey_credential::signing::{BadJwk, PublicKey};

/// How far the clock of the issuer may be ahead of the local clock.
const LEEWAY: SignedDuration = SignedDuration::from_secs(10);

/// The requirements for the token.
pub(super) struct Wanted<'a> {
    /// The required issuer, if one is given.
    pub(super) issuer: Option<String>,
    /// Accepted audiences. If empty, any audience is accepted.
    pub(super) audiences: &'a [String],
    /// The time at which the token must be valid.
    pub(super) now: Timestamp,
}

/// Why a token is invalid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Invalid {
    #[error("the key set has no list `keys`")]
    NoKeySet,
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("it names no key (`kid`), and the key set has {0}")]
    NoKid(usize),
    #[error("the key set has no key '{0}': is it of another issuer, or older than the key set?")]
    UnknownKid(String),
    #[error("key '{0}' of the key set is of no use: {1}")]
    BadKey(String, BadJwk),
    #[error("it has no expiry (`exp`)")]
    NoExpiry,
    #[error("it expired at {0} ({1})")]
    Expired(Timestamp, String),
    #[error("it is valid from {0} on ({1}): is the clock of this machine right?")]
    NotYet(Timestamp, String),
    #[error("its `{0}` is not a time")]
    NoTime(&'static str),
    #[error("its issuer is '{found}', and not '{wanted}'")]
    Issuer { found: String, wanted: String },
    #[error("it is for '{found}', and not for {wanted}")]
    Audience { found: String, wanted: String },
}

/// Returns the id of the key that signed the token, if the token is valid.
pub(super) fn check(token: &Jwt, jwks: &Value, wanted: &Wanted<'_>) -> Result<String, Invalid> {
    let token = Token::parse(&token.text, jwt::MAX_CHARS)?;
    let (kid, signed) = signed_by(&token, jwks)?;
    let claims = timely(signed, wanted.now)?;
    issuer(&claims, wanted)?;
    audience(&claims, wanted)?;
    Ok(kid)
}

/// Returns the id of the key that signed the token, and the claims.
fn signed_by(token: &Token<'_>, jwks: &Value) -> Result<(String, Signed<Members>), Invalid> {
    let keys = jwks.get("keys").and_then(Value::as_array);
    let keys = keys.ok_or(Invalid::NoKeySet)?;
    let kid_of = |jwk: &Value| jwk.get("kid").and_then(Value::as_str).map(str::to_owned);
    let jwk = match (token.kid(), &keys[..]) {
        (Some(kid), _) => keys
            .iter()
            .find(|jwk| kid_of(jwk).as_deref() == Some(kid))
            .ok_or_else(|| Invalid::UnknownKid(kid.to_owned()))?,
        (None, [only]) => only,
        (None, _) => return Err(Invalid::NoKid(keys.len())),
    };
    let kid = kid_of(jwk).unwrap_or_else(|| "without an id".to_owned());
    let key = PublicKey::from_jwk(jwk).map_err(|bad| Invalid::BadKey(kid.clone(), bad))?;
    let signed = token.verify_access_token(&key)?;
    Ok((kid, signed))
}

fn timely(signed: Signed<Members>, now: Timestamp) -> Result<Members, Invalid> {
    signed.at(now, LEEWAY).map_err(|untimely| match untimely {
        Untimely::NoExpiry => Invalid::NoExpiry,
        Untimely::Expired(expiry) => Invalid::Expired(expiry, time::relative(expiry, now)),
        Untimely::NotYet(from) => Invalid::NotYet(from, time::relative(from, now)),
        Untimely::NoTime(name) => Invalid::NoTime(name),
    })
}

fn issuer(claims: &Members, wanted: &Wanted<'_>) -> Result<(), Invalid> {
    let found = claims.text("iss").unwrap_or_default();
    match &wanted.issuer {
        Some(wanted) if found.trim_end_matches('/') != wanted => Err(Invalid::Issuer {
            found: found.to_owned(),
            wanted: wanted.clone(),
        }),
        Some(_) | None => Ok(()),
    }
}

fn audience(claims: &Members, wanted: &Wanted<'_>) -> Result<(), Invalid> {
    if wanted.audiences.is_empty() {
        return Ok(());
    }
    let found = claims.get("aud").unwrap_or(&Value::Null);
    let holds = |audience: &String| match found {
        Value::String(one) => one == audience,
        Value::Array(many) => many.iter().any(|one| one.as_str() == Some(audience)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    };
    if wanted.audiences.iter().any(holds) {
        return Ok(());
    }
    let quoted = wanted
        .audiences
        .iter()
        .map(|audience| format!("'{audience}'"));
    Err(Invalid::Audience {
        found: jwt::words(found),
        wanted: quoted.collect::<Vec<_>>().join(" or "),
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
    use serde_json::json;

    use super::*;
    use apikey_credential::signing::{Algorithm, SigningKey};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn key(algorithm: Algorithm) -> SigningKey {
        SigningKey::generate(algorithm, at(0), at(0)).unwrap()
    }

    fn signed(key: &SigningKey, header: &Value, claims: &Value) -> Jwt {
        let part = |value: &Value| BASE64URL.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = BASE64URL.encode(key.sign(message.as_bytes()).unwrap());
        Jwt::parse(&format!("{message}.{signature}")).unwrap()
    }

    fn header(key: &SigningKey) -> Value {
        json!({"alg": key.algorithm().as_str(), "kid": key.kid(), "typ": "at+jwt"})
    }

    fn set(keys: &[&SigningKey]) -> Value {
        json!({"keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>()})
    }

    fn at_100<'a>(issuer: Option<&str>, audiences: &'a [String]) -> Wanted<'a> {
        Wanted {
            issuer: issuer.map(str::to_owned),
            audiences,
            now: at(100),
        }
    }

    #[test]
    fn a_token_of_each_algorithm_is_taken_and_a_changed_one_refused() {
        for algorithm in Algorithm::ALL {
            let (key, other) = (key(algorithm), key(algorithm));
            let keys = set(&[&other, &key]);
            let token = signed(&key, &header(&key), &json!({"exp": 101}));
            let wanted = at_100(None, &[]);
            assert_eq!(check(&token, &keys, &wanted).unwrap(), key.kid());
            let changed = signed(&key, &header(&key), &json!({"exp": 102}));
            let (message, _) = changed.text.rsplit_once('.').unwrap();
            let (_, signature) = token.text.rsplit_once('.').unwrap();
            let changed = Jwt::parse(&format!("{message}.{signature}")).unwrap();
            let refused = check(&changed, &keys, &wanted);
            assert_eq!(refused, Err(Invalid::Refused(Refused::Signature)));
            let unknown = check(&token, &set(&[&other]), &wanted);
            assert_eq!(unknown, Err(Invalid::UnknownKid(key.kid().to_owned())));
        }
    }

    #[test]
    fn a_token_can_not_choose_how_it_is_checked() {
        let key = key(Algorithm::Es256);
        for algorithm in ["none", "HS256", "RS256", "ES384"] {
            let header = json!({"alg": algorithm, "kid": key.kid(), "typ": "at+jwt"});
            let token = signed(&key, &header, &json!({"exp": 101}));
            let refused = check(&token, &set(&[&key]), &at_100(None, &[])).unwrap_err();
            let is_by_algorithm = matches!(refused, Invalid::Refused(Refused::Algorithm { .. }));
            assert!(is_by_algorithm, "{refused}");
        }
        let header = json!({"alg": "ES256", "kid": key.kid(), "typ": "JWT"});
        let token = signed(&key, &header, &json!({"exp": 101}));
        let refused = check(&token, &set(&[&key]), &at_100(None, &[]));
        let typ = Refused::Type("jwt".to_owned());
        assert_eq!(refused, Err(Invalid::Refused(typ)));
    }

    #[test]
    fn times_issuer_and_audience_are_held_to() {
        let key = key(Algorithm::EdDsa);
        let audiences = ["me".to_owned(), "us".to_owned()];
        let outcome = |claims: Value, wanted: &Wanted<'_>| {
            let token = signed(&key, &header(&key), &claims);
            check(&token, &set(&[&key]), wanted).map(|_| ())
        };
        let none = at_100(None, &[]);
        assert_eq!(outcome(json!({}), &none), Err(Invalid::NoExpiry));
        let expired = outcome(json!({"exp": 100}), &none).unwrap_err();
        assert_eq!(
            expired.to_string(),
            "it expired at 1970-01-01T00:01:40Z (0s ago)"
        );
        assert!(outcome(json!({"exp": 200, "nbf": 110, "iat": 110.5}), &none).is_ok());
        let early = outcome(json!({"exp": 200, "nbf": 111}), &none).unwrap_err();
        assert!(matches!(early, Invalid::NotYet(..)), "{early}");
        let of = at_100(Some("https://x"), &[]);
        assert!(outcome(json!({"exp": 200, "iss": "https://x/"}), &of).is_ok());
        assert!(outcome(json!({"exp": 200, "iss": "https://y"}), &of).is_err());
        let for_us = at_100(None, &audiences);
        assert!(outcome(json!({"exp": 200, "aud": "us"}), &for_us).is_ok());
        assert!(outcome(json!({"exp": 200, "aud": ["them", "me"]}), &for_us).is_ok());
        let others = outcome(json!({"exp": 200, "aud": ["them"]}), &for_us).unwrap_err();
        assert_eq!(
            others.to_string(),
            "it is for 'them', and not for 'me' or 'us'"
        );
        assert!(outcome(json!({"exp": 200}), &for_us).is_err());
    }
}
