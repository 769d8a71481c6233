//! May this key exist, and with what? One pure function, [`assess`].
//!
//! The controller asks before it mints, and the token endpoint asks before it issues; neither
//! trusts `status`. Inputs are plain values, time included.

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
    /// Its namespace.
    pub namespace: &'a str,
    /// When it was created.
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

/// What a decision about one key depends on.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The key.
    pub subject: Subject<'a>,
    /// The Organization of `spec.org`, if it is declared.
    pub organization: Option<&'a Organization>,
    /// The parent of that Organization, if it has one and it is declared.
    pub parent: Option<&'a Organization>,
    /// Name of the Organization that can't be read, of these two, if one can't. What it allows is not
    /// known, so nothing is.
    pub unreadable: Option<&'a str>,
    /// The declared ones of the organizations in `spec.subOrgs`.
    pub sub_organizations: &'a [Arc<Organization>],
    /// Labels of the key's namespace; `None` if they are not known.
    pub namespace_labels: Option<&'a BTreeMap<String, String>>,
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
    /// Where the key may act: its own organization first, then the listed sub-organizations that it
    /// covers; each with at least one role. Empty unless the verdict is [`Verdict::Allowed`].
    pub grants: Vec<Grant>,
    /// The listed sub-organizations that it does not cover, or holds no role in.
    pub uncovered: Vec<String>,
    /// Audiences of its tokens; empty: those of the token server.
    pub audiences: Vec<String>,
    /// The audiences it asks for and may not have.
    pub unknown_audiences: Vec<String>,
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

/// `spec.expiry` as a time; see [`expiry::parse`].
///
/// # Errors
/// A [`Denial`] that says what is wrong with the value.
pub fn spec_expiry(expiry: Option<&str>) -> Result<Option<Timestamp>, Denial> {
    let Some(text) = expiry else {
        return Ok(None);
    };
    expiry::parse(text).map(Some).map_err(|bad| Denial {
        reason: reason::INVALID_SPEC,
        message: format!("`expiry` '{text}' {bad}"),
    })
}

/// The decision about one key.
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

/// What the parent of the organization leaves undecided, or forbids.
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
