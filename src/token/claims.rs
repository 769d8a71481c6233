//! What a token says. Pure.
//!
//! Sources: RFC 9068 (JWT profile for access tokens), RFC 7519, RFC 8693 section 4.2 (`scope`).

use std::borrow::Cow;

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::index::Standing;
use super::refusal::Refusal;
use super::verify::Proven;
use crate::policy::Grant;

/// The claims of an access token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claims<'a> {
    /// The issuer.
    pub iss: Cow<'a, str>,
    /// `apikey:<keyId>`.
    pub sub: Cow<'a, str>,
    /// Who the token is for.
    pub aud: Audience<'a>,
    /// When it was issued. Unit: seconds since 1970.
    pub iat: i64,
    /// Time before which it is refused. Unit: seconds since 1970.
    pub nbf: i64,
    /// Time from which it is refused; never after the expiry of the key. Unit: seconds since 1970.
    pub exp: i64,
    /// Its own id.
    pub jti: Cow<'a, str>,
    /// Public id of the key.
    pub client_id: Cow<'a, str>,
    /// E-mail address that stands for the key.
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
    /// The roles that were asked for, if some were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Cow<'a, str>>,
}

/// One audience as a text, several as a list (RFC 7519 section 4.1.3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Audience<'a> {
    /// One.
    One(Cow<'a, str>),
    /// Several.
    Many(Vec<Cow<'a, str>>),
}

impl<'a> Audience<'a> {
    fn of(names: &'a [String]) -> Self {
        match names {
            [one] => Self::One(one.into()),
            many => Self::Many(many.iter().map(Into::into).collect()),
        }
    }
}

/// What a caller asks for beside a token.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// The organization to act in; the key's own if left out.
    pub organization_id: Option<Uuid>,
    /// Some of the roles, separated by spaces; all if left out.
    pub scope: Option<&'a str>,
}

/// What every token of this server has.
#[derive(Clone, Copy, Debug)]
pub struct Issuer<'a> {
    /// The issuer.
    pub url: &'a str,
    /// Audiences of tokens whose key names none.
    pub audiences: &'a [String],
}

/// Why no token can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// See [`Refusal`].
    Refused(Refusal),
    /// A role of the scope that the key does not hold; empty if the scope names none.
    Scope(String),
}

/// The grant for the organization with this GUID, or for the own one.
///
/// # Errors
/// The key does not cover it.
pub fn grant_for(proven: &Proven, organization_id: Option<Uuid>) -> Result<&Grant, Refusal> {
    let Standing::Usable { grants, .. } = &proven.credential.standing else {
        return Err(Refusal::NotAllowed);
    };
    let wanted = |grant: &&Grant| organization_id.is_none_or(|id| grant.organization_id == id);
    let mut covered = grants.iter().filter(wanted);
    covered.next().ok_or(Refusal::OrganizationNotCovered)
}

/// The claims of a token for a key that proved itself.
///
/// # Errors
/// See [`Denial`].
pub fn claims<'a>(
    proven: &'a Proven,
    wanted: Wanted<'a>,
    issuer: Issuer<'a>,
    jti: &'a str,
    now: Timestamp,
) -> Result<Claims<'a>, Denial> {
    let grant = grant_for(proven, wanted.organization_id).map_err(Denial::Refused)?;
    let credential = &*proven.credential;
    let Standing::Usable { audiences, .. } = &credential.standing else {
        return Err(Denial::Refused(Refusal::NotAllowed));
    };
    let iat = now.as_second();
    let exp = iat
        .saturating_add(grant.token_ttl_seconds)
        .min(proven.until.as_second());
    if exp <= iat {
        return Err(Denial::Refused(Refusal::Expired));
    }
    let key_id = credential.key_id().as_str();
    Ok(Claims {
        iss: issuer.url.into(),
        sub: format!("apikey:{key_id}").into(),
        aud: Audience::of(if audiences.is_empty() {
            issuer.audiences
        } else {
            audiences
        }),
        iat,
        nbf: iat,
        exp,
        jti: jti.into(),
        client_id: key_id.into(),
        email: credential.email().into(),
        name: (*credential.login_name).into(),
        namespace: (*credential.key.namespace).into(),
        org: grant.organization.as_str().into(),
        current_organization_id: grant.organization_id,
        roles: narrowed(grant, wanted.scope)?,
        scope: wanted.scope.map(Into::into),
    })
}

/// The roles of the grant that the scope names; all without a scope. A scope of spaces names none, and
/// a token without a role is never made.
fn narrowed<'a>(grant: &'a Grant, scope: Option<&'a str>) -> Result<Vec<Cow<'a, str>>, Denial> {
    let Some(scope) = scope else {
        return Ok(grant.roles.iter().map(Into::into).collect());
    };
    let mut roles: Vec<Cow<'a, str>> = Vec::new();
    for role in scope.split(' ').filter(|role| !role.is_empty()) {
        if !grant.roles.iter().any(|held| held == role) {
            return Err(Denial::Scope(role.to_owned()));
        }
        if !roles.iter().any(|known| known == role) {
            roles.push(role.into());
        }
    }
    if roles.is_empty() {
        return Err(Denial::Scope(String::new()));
    }
    Ok(roles)
}

#[cfg(test)]
mod tests;
