//! How long a token can be, and what requests that carry one need. Pure.
//!
//! What this server makes, it takes: the definitions and the flags bound a token, and requests have room
//! for the greatest.

use super::claims::Audience;
use apikey_api::bounds::{MAX_AUDIENCE_CHARS, MAX_AUDIENCES};

/// Longest token that is made or looked at. Keys that were stored before the roles and the audiences of
/// a key had a bound together can have one that is almost as long. Unit: bytes.
pub const MAX_TOKEN_BYTES: usize = 24 * 1024;
/// Longest head of a request: a token, and as much as common servers allow for all the rest. Unit:
/// bytes.
pub const MAX_HEAD_BYTES: usize = MAX_TOKEN_BYTES + 8 * 1024;
/// Longest form with a token in it, and the credentials of who asks. Unit: bytes.
pub const MAX_INTROSPECTION_BYTES: usize = MAX_TOKEN_BYTES + 8 * 1024;
/// Longest form of a call for a token: all roles of a key as `scope`, percent-encoded. Unit: bytes.
pub const MAX_TOKEN_CALL_BYTES: usize = 16 * 1024;

/// Longest that the audiences of the server are as JSON: what those of a key can be, each character
/// escaped. Unit: bytes.
const MAX_AUDIENCES_BYTES: u32 = MAX_AUDIENCES * (2 * MAX_AUDIENCE_CHARS + QUOTES_AND_COMMA) + 1;
const QUOTES_AND_COMMA: u32 = 3;

/// Whether a token has room for the audiences of the server (`--audience`).
///
/// # Errors
/// A sentence that names the flag and the bound.
pub fn check_audiences(audiences: &[String]) -> Result<(), String> {
    let json = serde_json::to_string(&Audience::of(audiences)).unwrap_or_default();
    let fits = u32::try_from(json.len()).is_ok_and(|bytes| bytes <= MAX_AUDIENCES_BYTES);
    fits.then_some(()).ok_or_else(|| {
        format!(
            "--audience: {} bytes are more than a token has room for, which is \
             {MAX_AUDIENCES_BYTES}: name fewer or shorter ones",
            json.len()
        )
    })
}

#[cfg(test)]
mod tests;
