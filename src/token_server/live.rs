//! Is an access token still to be trusted, by its key as it is now? Pure.
//!
//! A token is a snapshot. Where the key can be looked at, it ends with its key and with the secret
//! that it was made with, and shrinks with the roles and audiences of its key.

use k8s_openapi::jiff::Timestamp;

use super::claims::Claims;
use super::index::{Credential, Standing};

/// The claims with the roles and audiences that the key has now; `None` if the token is not to be
/// trusted now. That the claims are ours and of this key is checked before.
#[must_use]
pub fn live(
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
    // A key that names no audience has those of the server, which is not what it may lose.
    if !audiences.is_empty() {
        claims.aud = claims.aud.narrowed(audiences)?;
    }
    Some(claims)
}

/// Whether the secret that the token was made with is accepted.
///
/// A token from before there was `secret_revision` counts as made with the oldest secret that is
/// accepted, and is refused if it is older than that one: then its secret is certainly replaced.
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
