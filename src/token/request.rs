//! Reads requests: within bounds, within a deadline, and whom they come from.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use ipnet::IpNet;
use zeroize::Zeroizing;

use super::form::{self, Form};
use crate::server::Peer;

/// Longest body. Unit: bytes.
pub const MAX_BODY_BYTES: usize = 4096;
/// Longest wait for a body.
const BODY_DEADLINE: Duration = Duration::from_secs(10);
const FORM: &str = "application/x-www-form-urlencoded";

/// A body that can't be read: status code, and a sentence for its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable(pub StatusCode, pub String);

/// Reads a form.
///
/// # Errors
/// The body is of another type, too long, too slow or not well-formed.
pub async fn form(request: Request<Body>) -> Result<Form, Unreadable> {
    let (head, body) = request.into_parts();
    if !is_form(&head.headers) {
        let say = "the body must be application/x-www-form-urlencoded".to_owned();
        return Err(Unreadable(StatusCode::UNSUPPORTED_MEDIA_TYPE, say));
    }
    let reading = tokio::time::timeout(BODY_DEADLINE, to_bytes(body, MAX_BODY_BYTES));
    let body = match reading.await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let say = format!("the body must have at most {MAX_BODY_BYTES} bytes");
            return Err(Unreadable(StatusCode::PAYLOAD_TOO_LARGE, say));
        }
        Err(_) => {
            let say = format!("the body did not come within {} s", BODY_DEADLINE.as_secs());
            return Err(Unreadable(StatusCode::REQUEST_TIMEOUT, say));
        }
    };
    Form::parse(&body).map_err(|error| Unreadable(StatusCode::BAD_REQUEST, error.to_string()))
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
    match headers.get(header::AUTHORIZATION) {
        Some(value) => form::basic(value.as_bytes()),
        None => Ok(None),
    }
}

/// The token in the Authorization header, if it has one (RFC 6750 section 2.1).
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?;
    std::str::from_utf8(form::credentials(value.as_bytes(), "Bearer")?).ok()
}

/// Address of the caller. Of X-Forwarded-For counts the last address that no trusted proxy has, and
/// only if the connection comes from a trusted proxy: what is before it, anybody may have written.
#[must_use]
pub fn remote(request: &Request<Body>, trusted: &[IpNet]) -> IpAddr {
    let peer = request.extensions().get::<Peer>();
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
    forwarded(peer.to_canonical(), request.headers(), trusted)
}

fn forwarded(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(&peer) {
        return peer;
    }
    let values = headers.get_all("x-forwarded-for").iter();
    let texts: Vec<_> = values.filter_map(|value| value.to_str().ok()).collect();
    let mut last = peer;
    for hop in texts.iter().flat_map(|text| text.split(',')).rev() {
        let Ok(address) = hop.trim().parse::<IpAddr>() else {
            return last;
        };
        last = address.to_canonical();
        if !is_trusted(&last) {
            return last;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed_and_only_their_own_word() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let of = |peer: &str, header: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", header.parse().unwrap());
            forwarded(peer.parse().unwrap(), &headers, &trusted).to_string()
        };
        assert_eq!(of("192.0.2.9", "198.51.100.1"), "192.0.2.9");
        assert_eq!(of("10.0.0.1", "198.51.100.1"), "198.51.100.1");
        assert_eq!(
            of("10.0.0.1", "1.2.3.4, 198.51.100.1, 10.0.0.2"),
            "198.51.100.1"
        );
        assert_eq!(of("10.0.0.1", "nonsense, 10.0.0.2"), "10.0.0.2");
        assert_eq!(of("10.0.0.1", ""), "10.0.0.1");
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
