//! Parses a JSON Web Token and formats its claims. Pure. Nothing here verifies the signature.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value};

use super::exit::Failure;
use super::time;
use apikey_credential::Secret;

/// Maximum length of a token, in characters.
const MAX_CHARS: usize = 64 * 1024;
/// Claims that are times.
const TIMES: [&str; 4] = ["iat", "nbf", "exp", "auth_time"];
/// The order in which claims are printed. Other claims follow.
const ORDER: [&str; 16] = [
    "iss",
    "sub",
    "aud",
    "name",
    "email",
    "namespace",
    "org",
    "currentOrganizationId",
    "roles",
    "scope",
    "client_id",
    "secret_revision",
    "iat",
    "nbf",
    "exp",
    "jti",
];

/// The decoded parts of a token.
pub(super) struct Jwt {
    pub(super) header: Map<String, Value>,
    pub(super) claims: Map<String, Value>,
    /// The signed part of the token.
    pub(super) message: String,
    pub(super) signature: Vec<u8>,
}

/// Why a text is not a token.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("a token has three parts, separated by '.', and this has {0}")]
    Parts(usize),
    #[error("it is longer than {MAX_CHARS} characters")]
    Length,
    #[error("its {0} can't be read: it was cut or changed")]
    Part(&'static str),
}

impl Jwt {
    /// Decodes the parts of a token.
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        if text.len() > MAX_CHARS {
            return Err(Malformed::Length);
        }
        let parts: Vec<_> = text.split('.').collect();
        let [header, claims, signature] = parts[..] else {
            return Err(Malformed::Parts(parts.len()));
        };
        let object = |part: &str, what| {
            let bytes = BASE64URL.decode(part).ok();
            let object = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
            object.ok_or(Malformed::Part(what))
        };
        let signature = BASE64URL.decode(signature).ok();
        Ok(Self {
            header: object(header, "header")?,
            claims: object(claims, "claims")?,
            message: format!("{header}.{claims}"),
            signature: signature.ok_or(Malformed::Part("signature"))?,
        })
    }

    /// Returns a text member of the header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.header.get(name).and_then(Value::as_str)
    }

    /// Returns a text claim.
    pub(super) fn claim(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }

    /// Returns a time claim (RFC 7519: seconds since 1970, with optional fractions).
    pub(super) fn time(&self, name: &str) -> Option<Timestamp> {
        time_of(self.claims.get(name)?)
    }

    /// Returns the claims as names and values. Times include their distance from now.
    pub(super) fn lines(&self, now: Timestamp) -> Vec<(String, String)> {
        let place = |name: &str| ORDER.iter().position(|known| *known == name);
        let mut claims: Vec<_> = self.claims.iter().collect();
        claims.sort_by_key(|(name, _)| place(name).unwrap_or(ORDER.len()));
        let lines = claims.into_iter().map(|(name, value)| {
            let shown = TIMES.contains(&name.as_str()).then(|| time_of(value));
            let text = match shown.flatten() {
                Some(time) => format!("{time} ({})", time::relative(time, now)),
                None => words(value),
            };
            (name.clone(), text)
        });
        lines.collect()
    }
}

impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Jwt([redacted])")
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a fraction of a second is dropped, and a number beyond all times is no time"
)]
fn time_of(value: &Value) -> Option<Timestamp> {
    let seconds = value
        .as_i64()
        .or_else(|| value.as_f64().map(|seconds| seconds.floor() as i64))?;
    Timestamp::from_second(seconds).ok()
}

/// Formats a value without JSON brackets and quotes if it has a plain form.
pub(super) fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) if values.iter().all(Value::is_string) => {
            let texts: Vec<_> = values.iter().map(words).collect();
            texts.join(", ")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

/// Refuses a secret as an argument, because other users of the machine can see arguments.
pub(super) fn refuse_secret(argument: &str, instead: &str) -> Result<(), Failure> {
    if Secret::is_like(argument) || argument.starts_with("AGE-SECRET-KEY-") {
        return Err(Failure::usage(format!(
            "a secret must not be an argument: every process of this machine can see it, and the \
             shell keeps it in its history. {instead}; if the machine has other users, rotate the \
             key"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn token(claims: &Value) -> String {
        let part = |value: &Value| BASE64URL.encode(value.to_string());
        format!("{}.{}.c2ln", part(&json!({"alg": "ES256"})), part(claims))
    }

    #[test]
    fn a_token_is_taken_apart_and_its_times_are_told_in_words() {
        let text = token(&json!({"zzz": 1, "exp": 120, "roles": ["a", "b"], "iss": "x"}));
        let jwt = Jwt::parse(&text).unwrap();
        assert_eq!(
            (jwt.header("alg"), &*jwt.signature),
            (Some("ES256"), &b"sig"[..])
        );
        let line = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(
            jwt.lines(Timestamp::UNIX_EPOCH),
            [
                line("iss", "x"),
                line("roles", "a, b"),
                line("exp", "1970-01-01T00:02:00Z (in 2m)"),
                line("zzz", "1"),
            ]
        );
    }

    #[test]
    fn what_is_no_token_is_named() {
        let whole = token(&json!({}));
        assert_eq!(Jwt::parse("a.b").unwrap_err(), Malformed::Parts(2));
        assert_eq!(Jwt::parse("a.b.c").unwrap_err(), Malformed::Part("header"));
        let cut = &whole[..whole.len() - 1];
        assert_eq!(Jwt::parse(cut).unwrap_err(), Malformed::Part("signature"));
    }

    #[test]
    fn a_secret_is_refused_as_an_argument_and_not_repeated() {
        let refused = refuse_secret("ak_mistyped", "Use -").unwrap_err();
        assert!(!refused.message().contains("mistyped"));
        assert!(refuse_secret("eyJ.a.b", "Use -").is_ok());
    }
}
