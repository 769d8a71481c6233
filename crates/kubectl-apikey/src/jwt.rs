//! Parses a JSON Web Token and formats its claims. Pure. Nothing here verifies the signature.

use std::fmt;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value};

use super::exit::Failure;
use super::time;
use apikey_credential::Secret;
use apikey_credential::jwt::{Malformed, Unverified, numeric_date};

/// Maximum length of a token, in characters.
pub(super) const MAX_CHARS: usize = 64 * 1024;
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

/// A token for people to read. Its signature is not verified.
pub(super) struct Jwt {
    pub(super) header: Map<String, Value>,
    pub(super) claims: Map<String, Value>,
    /// The token itself.
    pub(super) text: String,
}

impl Jwt {
    /// Decodes the parts of a token.
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        let Unverified { header, claims } = Unverified::parse(text, MAX_CHARS)?;
        Ok(Self {
            header,
            claims,
            text: text.to_owned(),
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

    /// Returns the claims as names and values. Times include their distance from now.
    pub(super) fn lines(&self, now: Timestamp) -> Vec<(String, String)> {
        let place = |name: &str| ORDER.iter().position(|known| *known == name);
        let mut claims: Vec<_> = self.claims.iter().collect();
        claims.sort_by_key(|(name, _)| place(name).unwrap_or(ORDER.len()));
        let lines = claims.into_iter().map(|(name, value)| {
            let shown = TIMES.contains(&name.as_str()).then(|| numeric_date(value));
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
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
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
        let (_, signature) = jwt.text.rsplit_once('.').unwrap();
        let signature = BASE64URL.decode(signature).unwrap();
        assert_eq!(
            (jwt.header("alg"), &*signature),
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
