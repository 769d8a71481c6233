//! The lifetime of a token: what the key requests, at most what the organization and its parent allow.

use apikey_api::Organization;

use super::input::Input;
use super::limits::lowest;

/// Lifetime of a token in seconds if the key sets none, and the maximum if the organization sets none.
pub const DEFAULT_TOKEN_TTL_SECONDS: i64 = 3600;

/// Lifetime of the key's tokens under the limits of an organization and its parent, in seconds.
pub(super) fn token_ttl_seconds(
    input: &Input<'_>,
    organization: Option<&Organization>,
    parent: Option<&Organization>,
) -> i64 {
    let wanted = input.subject.token.and_then(|token| token.ttl_seconds);
    wanted
        .unwrap_or(DEFAULT_TOKEN_TTL_SECONDS)
        .min(max_token_ttl_seconds(organization, parent))
}

fn max_token_ttl_seconds(
    organization: Option<&Organization>,
    parent: Option<&Organization>,
) -> i64 {
    lowest(organization, parent, |limits| limits.max_token_ttl_seconds)
        .unwrap_or(DEFAULT_TOKEN_TTL_SECONDS)
}
