//! Decides whether a key may exist, and with which roles and limits. The entry point is the pure function
//! [`assess`].
//!
//! The controller calls it before it mints a secret, and the token endpoint calls it before it issues a
//! token. Neither trusts `status`. Inputs are plain values, including the time.

mod grants;
mod limits;
mod namespaces;
mod owners;
pub mod quota_index;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use self::limits::Limits;
use apikey_api::conditions::reason;
use apikey_api::{ApiKey, Organization, SubOrganization, TokenSpec, expiry};

pub use self::grants::{Grant, catalogue, in_sub_organizations};
pub use self::limits::{
    DEFAULT_LIFETIME_DAYS, DEFAULT_MAX_LIFETIME_DAYS, DEFAULT_TOKEN_TTL_SECONDS,
};
pub use self::namespaces::namespace_allowed;

/// The parts of a key that a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Namespace of the key.
    pub namespace: &'a str,
    /// Time at which the key was created.
    pub created: Option<Timestamp>,
    /// `spec.org`.
    pub org: &'a str,
    /// `spec.roles`.
    pub roles: &'a [String],
    /// `spec.subOrgs`.
    pub sub_orgs: &'a [SubOrganization],
    /// `spec.expiry`.
    pub expiry: Option<&'a str>,
    /// `spec.token`.
    pub token: Option<&'a TokenSpec>,
}

impl<'a> From<&'a ApiKey> for Subject<'a> {
    fn from(apikey: &'a ApiKey) -> Self {
        let (meta, spec) = (&apikey.metadata, &apikey.spec);
        Self {
            namespace: meta.namespace.as_deref().unwrap_or_default(),
            created: meta.creation_timestamp.as_ref().map(|time| time.0),
            org: &spec.org,
            roles: &spec.roles,
            sub_orgs: &spec.sub_orgs,
            expiry: spec.expiry.as_deref(),
            token: spec.token.as_ref(),
        }
    }
}

impl Subject<'_> {
    /// `spec.token.audiences`.
    fn audiences(&self) -> &[String] {
        self.token
            .map(|token| token.audiences.as_slice())
            .unwrap_or_default()
    }
}

/// What the decision about a key depends on.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The key.
    pub subject: Subject<'a>,
    /// The Organization of `spec.org`, if it is declared.
    pub organization: Option<&'a Organization>,
    /// The parent of that Organization, if it has one that is declared.
    pub parent: Option<&'a Organization>,
    /// Name of the organization or parent that can't be read, if there is one. Its rules are unknown, so no
    /// decision is possible.
    pub unreadable: Option<&'a str>,
    /// Those organizations of `spec.subOrgs` that are declared.
    pub sub_organizations: &'a [Arc<Organization>],
    /// Labels of the key's namespace. `None` if they are unknown.
    pub namespace_labels: Option<&'a BTreeMap<String, String>>,
    /// The quota for which this key is queued, if there is one.
    pub over_quota: Option<&'a OverQuota>,
    /// The expiry that was fixed when the secret was minted, if it was.
    pub fixed_expiry: Option<Timestamp>,
    /// Whether keys of an undeclared Organization are not allowed.
    pub require_organizations: bool,
}

/// The organization whose `maxKeys` does not admit a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverQuota {
    /// Name of the organization.
    pub organization: String,
    /// Limit of the organization.
    pub max_keys: i64,
}

/// The decision about a key, and what is known about the key in any case.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// GUID of the organization.
    pub organization_id: Uuid,
    /// Time from which the key is refused. `None` if it is not known yet.
    pub expires_at: Option<Timestamp>,
    /// The roles of the key that are in the catalogue, in the order of the spec.
    pub roles: Vec<String>,
    /// The other roles of the key.
    pub unknown_roles: Vec<String>,
    /// Where the key may act: its own organization first, then the listed sub-organizations that it covers.
    /// Each grant has at least one role. Empty unless the verdict is [`Verdict::Allowed`].
    pub grants: Vec<Grant>,
    /// The listed sub-organizations that the key does not cover or has no role in.
    pub uncovered: Vec<String>,
    /// Audiences of the key's tokens. If empty, the default of the token server.
    pub audiences: Vec<String>,
    /// The audiences that the key requests but may not have.
    pub unknown_audiences: Vec<String>,
    /// Whether the Organization is declared.
    pub declared: bool,
    /// Whether the key may be minted and used.
    pub verdict: Verdict,
}

/// Whether a key may be minted and used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The key may be minted and used.
    Allowed,
    /// The key is waiting for an object that does not exist yet or can't be read.
    Waiting(Denial),
    /// The key is refused until somebody changes the key or the rules.
    Refused(Denial),
}

/// Why a key is not allowed: a reason for programs and a message for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// One of [`reason`].
    pub reason: &'static str,
    /// The field, its value and the fix.
    pub message: String,
}

/// GUID of an organization that does not set one: the UUID version 5 of its name, in a namespace that is
/// derived from the API group. It is the same in every cluster.
#[must_use]
pub fn default_organization_id(name: &str) -> Uuid {
    let group = Uuid::new_v5(&Uuid::NAMESPACE_DNS, apikey_api::names::GROUP.as_bytes());
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

/// Parses `spec.expiry`. See [`expiry::parse`].
///
/// # Errors
/// Returns a [`Denial`] that explains what is wrong with the value.
pub fn spec_expiry(expiry: Option<&str>) -> Result<Option<Timestamp>, Denial> {
    let Some(text) = expiry else {
        return Ok(None);
    };
    expiry::parse(text).map(Some).map_err(|bad| Denial {
        reason: reason::INVALID_SPEC,
        message: format!("`expiry` '{text}' {bad}"),
    })
}

/// Decides about a key.
#[must_use]
pub fn assess(input: &Input<'_>) -> Assessment {
    let (subject, organization) = (&input.subject, input.organization);
    let limits = Limits::of(organization, input.parent);
    let expiry = spec_expiry(subject.expiry);
    let resolvable =
        input.unreadable.is_none() && (organization.is_some() || !input.require_organizations);
    let expires_at = match &expiry {
        Ok(Some(expiry)) => Some(*expiry),
        Ok(None) => input.fixed_expiry.or_else(|| {
            let created = subject.created.filter(|_| resolvable)?;
            add_days(created, limits.default_days)
        }),
        Err(_) => None,
    };
    let catalogue = grants::catalogue(organization, input.parent);
    let (roles, unknown_roles) = if resolvable {
        grants::split(subject.roles, &catalogue)
    } else {
        (Vec::new(), Vec::new())
    };
    let allowed_audiences = grants::audiences(organization, input.parent);
    let (audiences, unknown_audiences) = grants::split(subject.audiences(), &allowed_audiences);
    let verdict = match expiry {
        Err(denial) => Verdict::Refused(denial),
        Ok(_) => owners::named_in(judge(input, limits, expires_at, &roles, &audiences), input),
    };
    let organization_id =
        organization.map_or_else(|| default_organization_id(subject.org), organization_id);
    let own = Grant {
        organization: subject.org.to_owned(),
        organization_id,
        roles: roles.clone(),
        token_ttl_seconds: grants::token_ttl_seconds(input, limits),
    };
    let (further, uncovered) = grants::in_sub_organizations(input);
    let grants = if verdict == Verdict::Allowed {
        std::iter::once(own).chain(further).collect()
    } else {
        Vec::new()
    };
    Assessment {
        organization_id,
        expires_at,
        roles,
        unknown_roles,
        grants,
        uncovered,
        audiences,
        unknown_audiences,
        declared: organization.is_some(),
        verdict,
    }
}

fn judge(
    input: &Input<'_>,
    limits: Limits,
    expires_at: Option<Timestamp>,
    roles: &[String],
    audiences: &[String],
) -> Verdict {
    let Subject { namespace, org, .. } = input.subject;
    let refused = |reason, message| Verdict::Refused(Denial { reason, message });
    let waiting = |reason, message| Verdict::Waiting(Denial { reason, message });

    if let Some(unreadable) = input.unreadable {
        return waiting(
            reason::ORGANIZATION_UNREADABLE,
            format!(
                "Organization '{unreadable}' can't be read by this version of the operator: apply it \
                 again as docs/api.md describes it, or upgrade the operator"
            ),
        );
    }
    if input.organization.is_none() && input.require_organizations {
        return waiting(
            reason::ORGANIZATION_NOT_FOUND,
            format!(
                "`org` names Organization '{org}', which does not exist: a cluster administrator has to \
                 create it"
            ),
        );
    }
    if let Some(verdict) = judge_parent(input) {
        return verdict;
    }
    let allowed = input.organization.map_or(Some(true), |organization| {
        let allowed = &organization.spec.allowed_namespaces;
        namespace_allowed(allowed, namespace, input.namespace_labels)
    });
    let Some(allowed) = allowed else {
        return waiting(
            reason::NAMESPACE_UNREADABLE,
            format!(
                "Organization '{org}' selects namespaces by label, and the labels of namespace \
                 '{namespace}' can't be read, or not yet: if this stays, give it fewer labels"
            ),
        );
    };
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
                input.subject.roles.join(", "),
                grants::catalogue(input.organization, input.parent).join(", ")
            ),
        );
    }
    let wanted = input.subject.audiences();
    if audiences.is_empty() && !wanted.is_empty() {
        return refused(
            reason::AUDIENCE_NOT_ALLOWED,
            format!(
                "`token.audiences` [{}]: none is one of Organization '{org}', which has [{}]: name \
                 one of those, or add it to `audiences` of the Organization",
                wanted.join(", "),
                grants::audiences(input.organization, input.parent).join(", ")
            ),
        );
    }
    let latest = input
        .subject
        .created
        .and_then(|created| add_days(created, limits.max_days));
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

/// Returns a verdict if the parent of the organization makes the key wait or refuses it.
fn judge_parent(input: &Input<'_>) -> Option<Verdict> {
    let org = input.subject.org;
    let parent = input.organization?.spec.parent.as_deref()?;
    match input.parent {
        None => Some(Verdict::Waiting(Denial {
            reason: reason::PARENT_NOT_FOUND,
            message: format!(
                "Organization '{org}' has parent '{parent}', which does not exist: create \
                 Organization '{parent}'"
            ),
        })),
        Some(found) if found.spec.parent.is_some() => Some(Verdict::Refused(Denial {
            reason: reason::PARENT_NOT_ROOT,
            message: format!(
                "Organization '{org}' has parent '{parent}', which is a sub-organization itself: \
                 only one level is possible"
            ),
        })),
        Some(_) => None,
    }
}

fn add_days(time: Timestamp, days: i64) -> Option<Timestamp> {
    time.checked_add(SignedDuration::from_hours(days.checked_mul(24)?))
        .ok()
}

#[cfg(test)]
mod tests;
