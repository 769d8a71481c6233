//! Bounds of the length of a token and of requests that carry one. Pure.
//!
//! The CRD schema and the flags bound a token, and requests have room for the longest, so that this
//! server accepts every token it issues.

use super::claims::Audience;
use crate::server;
use apikey_api::bounds::{MAX_AUDIENCE_CHARS, MAX_AUDIENCES};

/// Longest token that is issued or read. Keys stored before roles and audiences had a common bound
/// can have tokens almost as long. Unit: bytes.
pub const MAX_TOKEN_BYTES: usize = 24 * 1024;
/// Longest head of a request: a token, plus what common servers allow for everything else. Unit:
/// bytes.
pub const MAX_HEAD_BYTES: usize = MAX_TOKEN_BYTES + 8 * 1024;
const _: () = assert!(MAX_HEAD_BYTES <= server::MAX_HEAD_BYTES as usize);
/// Longest form with a token and the credentials of the caller. Unit: bytes.
pub const MAX_INTROSPECTION_BYTES: usize = MAX_TOKEN_BYTES + 8 * 1024;
const _: () = assert!(MAX_INTROSPECTION_BYTES <= server::MAX_BODY_BYTES);
/// Longest form of a token request: all roles of a key as `scope`, percent-encoded. Unit: bytes.
pub const MAX_TOKEN_CALL_BYTES: usize = 16 * 1024;

/// Longest JSON of the audiences of the server: that of the audiences of a key, with each character
/// escaped. Unit: bytes.
const MAX_AUDIENCES_BYTES: u32 = MAX_AUDIENCES * (2 * MAX_AUDIENCE_CHARS + QUOTES_AND_COMMA) + 1;
const QUOTES_AND_COMMA: u32 = 3;

/// Checks that a token has room for the audiences of the server (`--audience`).
///
/// # Errors
/// A sentence that names the flag and the bound.
pub fn check_audiences(audiences: &[String]) -> Result<(), String> {
    let json = serde_json::to_string(&Audience::of(audiences)).unwrap_or_default();
    let fits = u32::try_from(json.len()).is_ok_and(|bytes| bytes <= MAX_AUDIENCES_BYTES);
    fits.then_some(()).ok_or_else(|| {
        format!(
            "--audience: the audiences take {} bytes, and a token has room for \
             {MAX_AUDIENCES_BYTES}: use fewer or shorter ones",
            json.len()
        )
    })
}

#[cfg(test)]
mod tests;
