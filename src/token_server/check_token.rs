//! Checks an access token against the current state of its key. Pure.
//!
//! A token is a snapshot. Where the current key is available, a token ends with its key and with
//! the secret it was issued for, and it loses the roles and audiences that the key lost.

use k8s_openapi::jiff::Timestamp;

use super::claims::Claims;
use super::index::{Credential, Standing};

/// The claims with the roles and audiences that the key has now; `None` if the token must not be
/// trusted now. The caller has checked that this server issued the claims for this key.
#[must_use]
pub fn current_claims(
    mut claims: Claims<'static>,
    credential: &Credential,
    now: Timestamp,
) -> Option<Claims<'static>> {
    let second = now.as_second();
    let timely = claims.nbf <= second && second < claims.exp;
    if !timely || !is_of_accepted_secret(&claims, credential, now) {
        return None;
    }
    let Standing::Usable { grants, audiences } = &credential.standing else {
        return None;
    };
    let acted_in = claims.current_organization_id;
    let mut grants = grants.iter();
    let grant = grants.find(|grant| grant.organization_id == acted_in)?;
    claims
        .roles
        .retain(|role| grant.roles.iter().any(|held| held == role));
    if claims.roles.is_empty() {
        return None;
    }
    // A key that names no audience has those of the server, and can't lose them.
    if !audiences.is_empty() {
        claims.aud = claims.aud.narrowed(audiences)?;
    }
    Some(claims)
}

/// Whether the secret that the token was issued for is still accepted.
///
/// A token of an older version has no `secret_revision`. It counts as issued for the oldest
/// accepted secret, and is refused if it is older than that secret, because then its own secret
/// must have been replaced.
fn is_of_accepted_secret(claims: &Claims<'_>, credential: &Credential, now: Timestamp) -> bool {
    credential
        .accepted(now)
        .any(|proof| match claims.secret_revision {
            Some(revision) => proof.revision == revision,
            None => proof.minted_at.as_second() <= claims.iat,
        })
}

#[cfg(test)]
mod tests;
