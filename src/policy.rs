//! May this key exist, and with what? One pure function, [`assess`].
//!
//! The controller asks before it mints, and the token endpoint asks before it issues; neither
//! trusts `status`. Inputs are plain values, time included.

use std::collections::BTreeMap;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::api::conditions::reason;
use crate::api::{
    AllowedNamespaces, ApiKey, FromNamespaces, NamespaceSelector, Organization, OrganizationLimits,
    Requirement, SelectorOperator,
};

/// Longest life of a key where the organization sets none. Unit: days.
pub const DEFAULT_MAX_LIFETIME_DAYS: i64 = 365;
/// Life of a key without an expiry where the organization sets none. Unit: days.
pub const DEFAULT_LIFETIME_DAYS: i64 = 180;

/// What a decision about one key depends on.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The key.
    pub apikey: &'a ApiKey,
    /// The Organization of `spec.org`, if it is declared.
    pub organization: Option<&'a Organization>,
    /// The parent of that Organization, if it has one and it is declared.
    pub parent: Option<&'a Organization>,
    /// Labels of the key's namespace.
    pub namespace_labels: &'a BTreeMap<String, String>,
    /// The quota that leaves no place for this key, if one does.
    pub over_quota: Option<&'a OverQuota>,
    /// The expiry that was fixed when the secret was minted, if one was.
    pub fixed_expiry: Option<Timestamp>,
    /// Whether an Organization that is not declared is refused.
    pub require_organizations: bool,
}

/// The organization whose `maxKeys` leaves no place for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverQuota {
    /// Its name.
    pub organization: String,
    /// Its limit.
    pub max_keys: i64,
}

/// The decision about one key, with what is known of it in any case.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// GUID of the organization.
    pub organization_id: Uuid,
    /// Time from which the key is refused; `None` if it can't be known yet.
    pub expires_at: Option<Timestamp>,
    /// The roles of the key that are in the catalogue, in the order of the spec.
    pub roles: Vec<String>,
    /// The other roles of the key.
    pub unknown_roles: Vec<String>,
    /// Whether the Organization is declared.
    pub declared: bool,
    /// Whether the key may be minted and used.
    pub verdict: Verdict,
}

/// Whether a key may be minted and used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Allowed,
    /// Not yet: something that it names is not there, and may come.
    Waiting(Denial),
    /// No, until somebody changes the key or the rules.
    Refused(Denial),
}

/// Why not, in a word for programs and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// One of [`reason`].
    pub reason: &'static str,
    /// Names the field, its value and the fix.
    pub message: String,
}

/// GUID of an organization that sets none: UUID version 5 of its name in the name space of our API
/// group, the same in every cluster.
#[must_use]
pub fn default_organization_id(name: &str) -> Uuid {
    let group = Uuid::new_v5(&Uuid::NAMESPACE_DNS, crate::api::names::GROUP.as_bytes());
    Uuid::new_v5(&group, name.as_bytes())
}

/// GUID of a declared organization.
#[must_use]
pub fn organization_id(organization: &Organization) -> Uuid {
    let name = organization.metadata.name.as_deref().unwrap_or_default();
    let declared = organization
        .spec
        .id
        .as_deref()
        .and_then(|id| Uuid::try_parse(id).ok());
    declared.unwrap_or_else(|| default_organization_id(name))
}

/// `spec.expiry` as a time, to the second below.
///
/// # Errors
/// A [`Denial`] that says what is wrong with the value.
pub fn spec_expiry(apikey: &ApiKey) -> Result<Option<Timestamp>, Denial> {
    let Some(text) = apikey.spec.expiry.as_deref() else {
        return Ok(None);
    };
    let parsed = text.parse::<Timestamp>().ok();
    let to_the_second = parsed.and_then(|time| Timestamp::from_second(time.as_second()).ok());
    to_the_second.map(Some).ok_or_else(|| Denial {
        reason: reason::INVALID_SPEC,
        message: format!(
            "`expiry` '{text}' is not a time: use RFC 3339, for example '2027-05-24T00:00:00Z'"
        ),
    })
}

/// The decision about one key.
#[must_use]
pub fn assess(input: &Input<'_>) -> Assessment {
    let limits = Limits::of(input);
    let created = created_at(input.apikey);
    let expiry = spec_expiry(input.apikey);
    let resolvable = input.organization.is_some() || !input.require_organizations;
    let default_expiry = created.and_then(|created| add_days(created, limits.default_days));
    let expires_at = match &expiry {
        Ok(Some(expiry)) => Some(*expiry),
        Ok(None) => input
            .fixed_expiry
            .or_else(|| default_expiry.filter(|_| resolvable)),
        Err(_) => None,
    };
    let (roles, unknown_roles) = split_roles(input);
    let verdict = match expiry {
        Err(denial) => Verdict::Refused(denial),
        Ok(_) => judge(input, &limits, created, expires_at, &roles),
    };
    Assessment {
        organization_id: input.organization.map_or_else(
            || default_organization_id(&input.apikey.spec.org),
            organization_id,
        ),
        expires_at,
        roles,
        unknown_roles,
        declared: input.organization.is_some(),
        verdict,
    }
}

fn judge(
    input: &Input<'_>,
    limits: &Limits,
    created: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    roles: &[String],
) -> Verdict {
    let org = &input.apikey.spec.org;
    let refused = |reason, message| Verdict::Refused(Denial { reason, message });
    let waiting = |reason, message| Verdict::Waiting(Denial { reason, message });

    if input.organization.is_none() && input.require_organizations {
        return waiting(
            reason::ORGANIZATION_NOT_FOUND,
            format!("`org` names Organization '{org}', which does not exist: create it"),
        );
    }
    if let Some(parent) = input.organization.and_then(|o| o.spec.parent.as_deref()) {
        match input.parent {
            None => {
                return waiting(
                    reason::PARENT_NOT_FOUND,
                    format!(
                        "Organization '{org}' has parent '{parent}', which does not exist: create \
                         Organization '{parent}'"
                    ),
                );
            }
            Some(found) if found.spec.parent.is_some() => {
                return refused(
                    reason::PARENT_NOT_ROOT,
                    format!(
                        "Organization '{org}' has parent '{parent}', which is a sub-organization \
                         itself: only one level is possible"
                    ),
                );
            }
            Some(_) => {}
        }
    }
    let namespace = input
        .apikey
        .metadata
        .namespace
        .as_deref()
        .unwrap_or_default();
    let allowed = input.organization.is_none_or(|organization| {
        namespace_allowed(
            &organization.spec.allowed_namespaces,
            namespace,
            input.namespace_labels,
        )
    });
    if !allowed {
        return refused(
            reason::NAMESPACE_NOT_ALLOWED,
            format!(
                "Organization '{org}' does not allow keys from namespace '{namespace}': create the \
                 key in another namespace, or extend `allowedNamespaces` of the Organization"
            ),
        );
    }
    if roles.is_empty() {
        return refused(
            reason::UNKNOWN_ROLE,
            format!(
                "`roles` [{}]: none is in the catalogue of Organization '{org}', which has [{}]",
                input.apikey.spec.roles.join(", "),
                catalogue(input).join(", ")
            ),
        );
    }
    let latest = created.and_then(|created| add_days(created, limits.max_days));
    if let (Some(expires_at), Some(latest)) = (expires_at, latest)
        && expires_at > latest
    {
        return refused(
            reason::LIFETIME_TOO_LONG,
            format!(
                "`expiry` {expires_at} is more than {} days after the creation of the key, the \
                 most that '{org}' allows: create it with an expiry of {latest} or earlier",
                limits.max_days
            ),
        );
    }
    if let Some(OverQuota {
        organization,
        max_keys,
    }) = input.over_quota
    {
        return refused(
            reason::QUOTA_EXCEEDED,
            format!(
                "Organization '{organization}' allows {max_keys} keys, those of sub-organizations \
                 and expired ones included, and has older ones: delete a key, or raise \
                 `limits.maxKeys`; the next oldest key then takes the place"
            ),
        );
    }
    Verdict::Allowed
}

/// The limits in force: those of the organization, bounded and completed by its parent's.
struct Limits {
    max_days: i64,
    default_days: i64,
}

impl Limits {
    fn of(input: &Input<'_>) -> Self {
        let own = input.organization.and_then(|o| o.spec.limits.as_ref());
        let parents = input.parent.and_then(|o| o.spec.limits.as_ref());
        let get = |field: fn(&OrganizationLimits) -> Option<i64>| {
            (own.and_then(field), parents.and_then(field))
        };
        let max_days = match get(|limits| limits.max_lifetime_days) {
            (Some(own), Some(parents)) => own.min(parents),
            (own, parents) => own.or(parents).unwrap_or(DEFAULT_MAX_LIFETIME_DAYS),
        };
        let (own_default, parents_default) = get(|limits| limits.default_lifetime_days);
        let default_days = own_default
            .or(parents_default)
            .unwrap_or(DEFAULT_LIFETIME_DAYS);
        Self {
            max_days,
            default_days: default_days.min(max_days),
        }
    }
}

/// Whether keys may come from this namespace.
#[must_use]
pub fn namespace_allowed(
    allowed: &AllowedNamespaces,
    namespace: &str,
    labels: &BTreeMap<String, String>,
) -> bool {
    match allowed.from {
        FromNamespaces::All => true,
        FromNamespaces::Names => allowed.names.iter().any(|name| name == namespace),
        FromNamespaces::Selector => allowed
            .selector
            .as_ref()
            .is_some_and(|selector| selects(selector, labels)),
    }
}

fn selects(selector: &NamespaceSelector, labels: &BTreeMap<String, String>) -> bool {
    let meets = |requirement: &Requirement| {
        let value = labels.get(&requirement.key);
        let listed = value.is_some_and(|value| requirement.values.contains(value));
        match requirement.operator {
            SelectorOperator::In => listed,
            SelectorOperator::NotIn => !listed,
            SelectorOperator::Exists => value.is_some(),
            SelectorOperator::DoesNotExist => value.is_none(),
        }
    };
    selector
        .match_labels
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
        && selector.match_expressions.iter().all(meets)
}

fn catalogue<'a>(input: &Input<'a>) -> Vec<&'a str> {
    let roles_of = |organization: &'a Organization| {
        organization
            .spec
            .roles
            .iter()
            .map(|role| role.key.as_str())
            .collect::<Vec<_>>()
    };
    let own = input
        .organization
        .map(roles_of)
        .filter(|roles| !roles.is_empty());
    own.or_else(|| input.parent.map(roles_of))
        .unwrap_or_default()
}

fn split_roles(input: &Input<'_>) -> (Vec<String>, Vec<String>) {
    let catalogue = catalogue(input);
    let known = |role: &&String| catalogue.is_empty() || catalogue.contains(&role.as_str());
    let (known, unknown): (Vec<_>, Vec<_>) = input.apikey.spec.roles.iter().partition(known);
    (
        known.into_iter().cloned().collect(),
        unknown.into_iter().cloned().collect(),
    )
}

fn created_at(apikey: &ApiKey) -> Option<Timestamp> {
    apikey
        .metadata
        .creation_timestamp
        .as_ref()
        .map(|time| time.0)
}

fn add_days(time: Timestamp, days: i64) -> Option<Timestamp> {
    time.checked_add(SignedDuration::from_hours(days.checked_mul(24)?))
        .ok()
}

#[cfg(test)]
mod tests;
