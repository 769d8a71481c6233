//! Reads requests within a size limit and a deadline, and determines their source address.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderName, Request, StatusCode, header};
use ipnet::IpNet;
use zeroize::Zeroizing;

use super::form::{self, Form};
use super::forwarded;
use crate::server::Peer;
use apikey_credential::Secret;

/// Longest wait for a body.
const BODY_DEADLINE: Duration = Duration::from_secs(10);
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const FORM: &str = "application/x-www-form-urlencoded";

/// Why a body can't be read: status code, and a sentence for its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableBody(pub StatusCode, pub String);

/// Reads a form of at most this many bytes.
///
/// # Errors
/// The body is of another type, too long, too slow or malformed.
pub async fn form(request: Request<Body>, max_bytes: usize) -> Result<Form, UnreadableBody> {
    let (head, body) = request.into_parts();
    if !is_form(&head.headers) {
        let message = "the body must be application/x-www-form-urlencoded".to_owned();
        return Err(UnreadableBody(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let reading = tokio::time::timeout(BODY_DEADLINE, to_bytes(body, max_bytes));
    let body = match reading.await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let message = format!("the body must have at most {max_bytes} bytes");
            return Err(UnreadableBody(StatusCode::PAYLOAD_TOO_LARGE, message));
        }
        Err(_) => {
            let message = format!(
                "the body did not arrive within {} s",
                BODY_DEADLINE.as_secs()
            );
            return Err(UnreadableBody(StatusCode::REQUEST_TIMEOUT, message));
        }
    };
    Form::parse(&body).map_err(|error| UnreadableBody(StatusCode::BAD_REQUEST, error.to_string()))
}

fn is_form(headers: &HeaderMap) -> bool {
    let encoded = headers.get(header::CONTENT_ENCODING);
    let plain = encoded.is_none_or(|encoding| encoding.as_bytes() == b"identity");
    let given = headers.get(header::CONTENT_TYPE);
    let given = given.and_then(|value| value.to_str().ok());
    let media_type = given.and_then(|value| value.split(';').next());
    plain && media_type.is_some_and(|given| given.trim().eq_ignore_ascii_case(FORM))
}

/// Name and secret in the Authorization header, if it has Basic credentials.
///
/// # Errors
/// [`form::Error::Basic`].
pub fn basic(headers: &HeaderMap) -> Result<Option<(String, Zeroizing<String>)>, form::Error> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let found = values.find_map(|value| form::basic(value.as_bytes()).transpose());
    found.transpose()
}

/// The token in the Authorization header, if it has one that is not empty (RFC 6750 section 2.1).
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let values = headers.get_all(header::AUTHORIZATION).iter();
    let mut tokens = values.filter_map(|value| {
        std::str::from_utf8(form::credentials(value.as_bytes(), "Bearer")?).ok()
    });
    tokens.find(|token| !token.is_empty())
}

/// The credential that a caller presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented<'a> {
    /// Begins like the secret of a key.
    Secret(&'a str),
    /// Anything else, which can only be an access token.
    Token(&'a str),
}

/// The credential of a request: the secret of a key in `X-Api-Key`, or a secret or a token in the
/// Authorization header. An `X-Api-Key` that is empty or of another issuer is ignored, because a
/// gateway or the service behind it may have API keys of its own.
#[must_use]
pub fn presented(headers: &HeaderMap) -> Option<Presented<'_>> {
    let values = headers.get_all(API_KEY).iter();
    let mut api_keys = values
        .filter_map(|value| value.to_str().ok())
        .map(str::trim);
    let api_key = api_keys.find(|text| Secret::is_like(text));
    if let Some(secret) = api_key {
        return Some(Presented::Secret(secret));
    }
    let bearer = bearer(headers)?;
    Some(if Secret::is_like(bearer) {
        Presented::Secret(bearer)
    } else {
        Presented::Token(bearer)
    })
}

/// Address of the caller.
#[must_use]
pub fn remote(request: &Request<Body>, trusted: &[IpNet]) -> IpAddr {
    let peer = request.extensions().get::<Peer>();
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
    forwarded::caller(peer, request.headers(), trusted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_found_beside_what_is_empty_or_foreign() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, value.parse().unwrap());
            }
            presented(&headers).map(|presented| match presented {
                Presented::Secret(text) => format!("secret {text}"),
                Presented::Token(text) => format!("token {text}"),
            })
        };
        let (key, auth) = ("x-api-key", "authorization");
        for (headers, found) in [
            (&[(key, " ak_1 ")][..], Some("secret ak_1")),
            (&[(key, "ak_1"), (auth, "Bearer eyJ")], Some("secret ak_1")),
            (&[(key, ""), (auth, "Bearer eyJ")], Some("token eyJ")),
            (&[(key, "  "), (auth, "Bearer ak_2")], Some("secret ak_2")),
            (
                &[(key, "sk-live-1"), (auth, "Bearer eyJ")],
                Some("token eyJ"),
            ),
            (&[(key, "eyJ"), (auth, "Bearer ak_2")], Some("secret ak_2")),
            (
                &[(key, ""), (key, "other"), (key, "ak_1")],
                Some("secret ak_1"),
            ),
            (
                &[(auth, "Basic YTpi"), (auth, "Bearer eyJ")],
                Some("token eyJ"),
            ),
            (
                &[(auth, "Bearer "), (auth, "bearer eyJ")],
                Some("token eyJ"),
            ),
            (&[(auth, "ak_1")], None),
            (&[(key, "eyJ")], None),
            (&[], None),
        ] {
            assert_eq!(of(headers).as_deref(), found, "{headers:?}");
        }
    }

    #[test]
    fn only_plain_forms_are_forms() {
        let of = |pairs: &[(header::HeaderName, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(name, value.parse().unwrap());
            }
            is_form(&headers)
        };
        let (kind, encoding) = (header::CONTENT_TYPE, header::CONTENT_ENCODING);
        assert!(of(&[(
            kind.clone(),
            "Application/X-WWW-form-urlencoded; charset=utf-8"
        )]));
        assert!(!of(&[]));
        assert!(!of(&[(kind.clone(), "application/json")]));
        assert!(!of(&[(kind, FORM), (encoding, "gzip")]));
    }
}
