//! Where a key may act, with which roles, and which audiences its tokens have.
//!
//! Authority extends only from a root organization to its sub-organizations: only keys of a root may act
//! outside their own organization.

use uuid::Uuid;

use super::input::Input;
use super::organization_id::organization_id;
use super::token_lifetime::token_ttl_seconds;
use apikey_api::{Organization, SubOrganization};

/// An organization in which a key may act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Name of the organization.
    pub organization: String,
    /// GUID of the organization.
    pub organization_id: Uuid,
    /// Roles of the key in the organization, at least one.
    pub roles: Vec<String>,
    /// Maximum lifetime of a token, in seconds.
    pub token_ttl_seconds: i64,
}

/// Splits `wanted` into what the list contains and what it does not. An empty list contains everything.
pub(super) fn split(wanted: &[String], list: &[&str]) -> (Vec<String>, Vec<String>) {
    wanted
        .iter()
        .cloned()
        .partition(|one| list.is_empty() || list.contains(&one.as_str()))
}

/// The roles that keys of this organization may have. If empty, any role.
#[must_use]
pub fn catalogue<'a>(
    organization: Option<&'a Organization>,
    parent: Option<&'a Organization>,
) -> Vec<&'a str> {
    own_or_parents(organization, parent, |o| {
        o.spec.roles.iter().map(|role| role.key.as_str()).collect()
    })
}

/// The audiences that keys of this organization may request. If empty, any audience.
pub(super) fn audiences<'a>(
    organization: Option<&'a Organization>,
    parent: Option<&'a Organization>,
) -> Vec<&'a str> {
    own_or_parents(organization, parent, |o| {
        o.spec.audiences.iter().map(String::as_str).collect()
    })
}

/// What the organization lists, or else what its parent lists.
pub(super) fn own_or_parents<'a>(
    organization: Option<&'a Organization>,
    parent: Option<&'a Organization>,
    list: fn(&'a Organization) -> Vec<&'a str>,
) -> Vec<&'a str> {
    let own = organization.map(list).filter(|list| !list.is_empty());
    own.or_else(|| parent.map(list)).unwrap_or_default()
}

/// The grants in the listed sub-organizations, and the names of those without a grant.
#[must_use]
pub fn in_sub_organizations(input: &Input<'_>) -> (Vec<Grant>, Vec<String>) {
    let (mut grants, mut uncovered) = (Vec::new(), Vec::new());
    for listed in input.subject.sub_orgs {
        match in_sub_organization(input, listed) {
            Some(grant) => grants.push(grant),
            None => uncovered.push(listed.org.clone()),
        }
    }
    (grants, uncovered)
}

fn in_sub_organization(input: &Input<'_>, listed: &SubOrganization) -> Option<Grant> {
    let root = input.organization.filter(|o| o.spec.parent.is_none())?;
    let sub = input
        .sub_organizations
        .iter()
        .find(|o| o.metadata.name.as_ref() == Some(&listed.org))
        .filter(|o| o.spec.parent.as_deref() == Some(input.subject.org))?;
    let wanted = if listed.roles.is_empty() {
        input.subject.roles
    } else {
        &listed.roles
    };
    let (roles, _) = split(wanted, &catalogue(Some(sub), Some(root)));
    (!roles.is_empty()).then(|| Grant {
        organization: listed.org.clone(),
        organization_id: organization_id(sub),
        roles,
        token_ttl_seconds: token_ttl_seconds(input, Some(sub), Some(root)),
    })
}
