//! The claims of a token. Pure.
//!
//! Sources: RFC 9068 (JWT profile for access tokens), RFC 7519, RFC 8693 section 4.2 (`scope`).

use std::borrow::Cow;

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::check_secret::Proven;
use super::index::Standing;
use super::refusal::Refusal;
use apikey_policy::Grant;

/// Distance from `nbf` to `iat`, because the clock of a consumer may be slow. Unit: seconds.
pub const NOT_BEFORE_LEEWAY_SECONDS: i64 = 5;

/// The claims of an access token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claims<'a> {
    /// The issuer.
    pub iss: Cow<'a, str>,
    /// `apikey:<keyId>`.
    pub sub: Cow<'a, str>,
    /// The audience of the token.
    pub aud: Audience<'a>,
    /// When the token was issued. Unit: seconds since 1970.
    pub iat: i64,
    /// The token is refused before this time: [`NOT_BEFORE_LEEWAY_SECONDS`] before `iat`. Unit:
    /// seconds since 1970.
    pub nbf: i64,
    /// The token is refused from this time; never after the expiry of the key. Unit: seconds since
    /// 1970.
    pub exp: i64,
    /// Id of the token.
    pub jti: Cow<'a, str>,
    /// Public id of the key.
    pub client_id: Cow<'a, str>,
    /// E-mail address that represents the key.
    pub email: Cow<'a, str>,
    /// Login name of the key.
    pub name: Cow<'a, str>,
    /// Namespace of the `ApiKey`.
    pub namespace: Cow<'a, str>,
    /// Organization that the key acts in.
    pub org: Cow<'a, str>,
    /// GUID of that organization.
    #[serde(rename = "currentOrganizationId")]
    pub current_organization_id: Uuid,
    /// What the key may do there.
    pub roles: Vec<Cow<'a, str>>,
    /// The roles, separated by spaces, if the caller asked for some of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Cow<'a, str>>,
    /// Number of the secret that the token was issued for, as in `status.revision` of the `ApiKey`.
    /// `None` on tokens of older versions, which do not have this claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_revision: Option<i64>,
}

/// One audience as a string, several as a list (RFC 7519 section 4.1.3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Audience<'a> {
    /// One audience.
    One(Cow<'a, str>),
    /// Several audiences.
    Many(Vec<Cow<'a, str>>),
}

impl<'a> Audience<'a> {
    pub(super) fn of(names: &'a [String]) -> Self {
        match names {
            [one] => Self::One(one.into()),
            many => Self::Many(many.iter().map(Into::into).collect()),
        }
    }

    /// Iterates over the names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many.as_slice(),
        };
        names.iter().map(|name| &**name)
    }

    /// Whether one of these is among the names.
    #[must_use]
    pub fn has_one_of(&self, wanted: &[String]) -> bool {
        self.names()
            .any(|name| wanted.iter().any(|one| one == name))
    }

    /// Converts to an audience that owns its names.
    #[must_use]
    pub fn into_owned(self) -> Audience<'static> {
        let owned = |name: Cow<'_, str>| Cow::Owned(name.into_owned());
        match self {
            Self::One(name) => Audience::One(owned(name)),
            Self::Many(names) => Audience::Many(names.into_iter().map(owned).collect()),
        }
    }

    /// Keeps the names that are among these; `None` if none is left.
    #[must_use]
    pub fn narrowed(self, allowed: &[String]) -> Option<Self> {
        let is_allowed = |name: &Cow<'_, str>| allowed.iter().any(|one| *one == **name);
        match self {
            Self::One(name) => is_allowed(&name).then_some(Self::One(name)),
            Self::Many(mut names) => {
                names.retain(is_allowed);
                (!names.is_empty()).then_some(Self::Many(names))
            }
        }
    }
}

/// Options of a request for a token.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// The organization to act in. Default: that of the key.
    pub organization_id: Option<Uuid>,
    /// Some of the roles, separated by spaces. Default: all.
    pub scope: Option<&'a str>,
}

/// Properties shared by all tokens of this server.
#[derive(Clone, Copy, Debug)]
pub struct Issuer<'a> {
    /// The issuer.
    pub url: &'a str,
    /// Audiences of the tokens of a key that names none.
    pub audiences: &'a [String],
}

impl<'a> Issuer<'a> {
    /// The audiences of the tokens of a key that names these.
    #[must_use]
    pub const fn audiences_of(&self, named: &'a [String]) -> &'a [String] {
        if named.is_empty() {
            self.audiences
        } else {
            named
        }
    }
}

/// Why no token can be issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimsError {
    /// See [`Refusal`].
    Refused(Refusal),
    /// A role of the scope that the key does not hold; empty if the scope names none.
    Scope(String),
}

/// The grant for the organization with this GUID, or for that of the key.
///
/// # Errors
/// The key does not cover the organization.
pub fn grant_for(proven: &Proven, organization_id: Option<Uuid>) -> Result<&Grant, Refusal> {
    let Standing::Usable { grants, .. } = &proven.credential.standing else {
        return Err(Refusal::NotAllowed);
    };
    let wanted = |grant: &&Grant| organization_id.is_none_or(|id| grant.organization_id == id);
    let mut covered = grants.iter().filter(wanted);
    covered.next().ok_or(Refusal::OrganizationNotCovered)
}

/// The claims of a token for an authenticated key.
///
/// # Errors
/// See [`ClaimsError`].
pub fn claims<'a>(
    proven: &'a Proven,
    wanted: Wanted<'a>,
    issuer: Issuer<'a>,
    jti: &'a str,
    now: Timestamp,
) -> Result<Claims<'a>, ClaimsError> {
    let grant = grant_for(proven, wanted.organization_id).map_err(ClaimsError::Refused)?;
    let credential = &*proven.credential;
    let iat = now.as_second();
    let exp = iat
        .saturating_add(grant.token_ttl_seconds)
        .min(proven.until.as_second());
    if exp <= iat {
        return Err(ClaimsError::Refused(Refusal::Expired));
    }
    let key_id = credential.key_id().as_str();
    let roles = narrowed(grant, wanted.scope)?;
    Ok(Claims {
        iss: issuer.url.into(),
        sub: format!("apikey:{key_id}").into(),
        aud: Audience::of(issuer.audiences_of(credential.audiences())),
        iat,
        nbf: iat.saturating_sub(NOT_BEFORE_LEEWAY_SECONDS),
        exp,
        jti: jti.into(),
        client_id: key_id.into(),
        email: credential.email().into(),
        name: (*credential.login_name).into(),
        namespace: (*credential.key.namespace).into(),
        org: grant.organization.as_str().into(),
        current_organization_id: grant.organization_id,
        scope: wanted.scope.map(|_| roles.join(" ").into()),
        roles,
        secret_revision: Some(proven.revision),
    })
}

/// The roles of the grant that the scope names; all if there is no scope. A scope of spaces names
/// none and is denied, because a token always has at least one role.
fn narrowed<'a>(
    grant: &'a Grant,
    scope: Option<&'a str>,
) -> Result<Vec<Cow<'a, str>>, ClaimsError> {
    let Some(scope) = scope else {
        return Ok(grant.roles.iter().map(Into::into).collect());
    };
    let mut roles: Vec<Cow<'a, str>> = Vec::new();
    for role in scope.split(' ').filter(|role| !role.is_empty()) {
        if !grant.roles.iter().any(|held| held == role) {
            return Err(ClaimsError::Scope(role.to_owned()));
        }
        if !roles.iter().any(|known| known == role) {
            roles.push(role.into());
        }
    }
    if roles.is_empty() {
        return Err(ClaimsError::Scope(String::new()));
    }
    Ok(roles)
}

#[cfg(test)]
mod tests;
