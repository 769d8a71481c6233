//! The decision.

use apikey_api::expiry;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::denials;
use crate::grants::{self, Grant};
use crate::input::{Input, Subject};
use crate::limits::Limits;
use crate::namespaces::namespace_allowed;
use crate::organization_id::{default_organization_id, organization_id};
use crate::owners;
use crate::token_lifetime::token_ttl_seconds;
use crate::verdict::{Assessment, Denial, Verdict};

/// Parses `spec.expiry`. See [`expiry::parse`].
///
/// # Errors
/// Returns a [`Denial`] that explains what is wrong with the value.
pub fn spec_expiry(expiry: Option<&str>) -> Result<Option<Timestamp>, Denial> {
    let Some(text) = expiry else {
        return Ok(None);
    };
    expiry::parse(text)
        .map(Some)
        .map_err(|problem| denials::invalid_expiry(text, problem))
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
        token_ttl_seconds: token_ttl_seconds(input, organization, input.parent),
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
    if let Some(unreadable) = input.unreadable {
        return Verdict::Waiting(denials::organization_unreadable(unreadable));
    }
    if input.organization.is_none() && input.require_organizations {
        return Verdict::Waiting(denials::organization_not_found(org));
    }
    if let Some(verdict) = judge_parent(input) {
        return verdict;
    }
    let allowed = input.organization.map_or(Some(true), |organization| {
        let allowed = &organization.spec.allowed_namespaces;
        namespace_allowed(allowed, namespace, input.namespace_labels)
    });
    match allowed {
        None => return Verdict::Waiting(denials::namespace_unreadable(org, namespace)),
        Some(false) => return Verdict::Refused(denials::namespace_not_allowed(org, namespace)),
        Some(true) => {}
    }
    if roles.is_empty() {
        return Verdict::Refused(denials::no_known_role(input));
    }
    if audiences.is_empty() && !input.subject.audiences().is_empty() {
        return Verdict::Refused(denials::no_allowed_audience(input));
    }
    let created = input.subject.created;
    let latest = created.and_then(|created| add_days(created, limits.max_days));
    if let (Some(expires_at), Some(latest)) = (expires_at, latest)
        && expires_at > latest
    {
        let denial = denials::lifetime_too_long(org, expires_at, latest, limits.max_days);
        return Verdict::Refused(denial);
    }
    if let Some(over_quota) = input.over_quota {
        return Verdict::Refused(denials::quota_exceeded(over_quota));
    }
    Verdict::Allowed
}

/// Returns a verdict if the parent of the organization makes the key wait or refuses it.
fn judge_parent(input: &Input<'_>) -> Option<Verdict> {
    let org = input.subject.org;
    let parent = input.organization?.spec.parent.as_deref()?;
    match input.parent {
        None => Some(Verdict::Waiting(denials::parent_not_found(org, parent))),
        Some(found) if found.spec.parent.is_some() => {
            Some(Verdict::Refused(denials::parent_not_root(org, parent)))
        }
        Some(_) => None,
    }
}

fn add_days(time: Timestamp, days: i64) -> Option<Timestamp> {
    time.checked_add(SignedDuration::from_hours(days.checked_mul(24)?))
        .ok()
}
