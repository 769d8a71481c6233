//! The decision.

use apikey_api::conditions::reason;
use apikey_api::expiry;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::grants::{self, Grant};
use crate::input::{Input, OverQuota, Subject};
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
                 '{namespace}' are not known yet or can't be read: if this persists, remove some \
                 of its labels"
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
                "`roles` [{}]: none is in the catalogue of Organization '{org}', which has [{}]: \
                 use one of those, or add one to `roles` of the Organization",
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
                "Organization '{organization}' allows {max_keys} keys, including those of \
                 sub-organizations and expired ones, and older keys use up this quota: delete a \
                 key, or raise `limits.maxKeys`; the next oldest key is then admitted"
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
