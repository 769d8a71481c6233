//! Why a key is not allowed, in words: what each rule says to the owner of the key. A message names the field,
//! its value and the fix.

use apikey_api::conditions::reason;
use k8s_openapi::jiff::Timestamp;

use crate::grants;
use crate::input::{Input, OverQuota};
use crate::verdict::Denial;

const fn denial(reason: &'static str, message: String) -> Denial {
    Denial { reason, message }
}

pub(crate) fn invalid_expiry(text: &str, problem: impl std::fmt::Display) -> Denial {
    denial(reason::INVALID_SPEC, format!("`expiry` '{text}' {problem}"))
}

pub(crate) fn organization_unreadable(organization: &str) -> Denial {
    denial(
        reason::ORGANIZATION_UNREADABLE,
        format!(
            "Organization '{organization}' can't be read by this version of the operator: apply it \
             again as docs/api.md describes it, or upgrade the operator"
        ),
    )
}

pub(crate) fn organization_not_found(org: &str) -> Denial {
    denial(
        reason::ORGANIZATION_NOT_FOUND,
        format!(
            "`org` names Organization '{org}', which does not exist: a cluster administrator has to \
             create it"
        ),
    )
}

pub(crate) fn parent_not_found(org: &str, parent: &str) -> Denial {
    denial(
        reason::PARENT_NOT_FOUND,
        format!(
            "Organization '{org}' has parent '{parent}', which does not exist: create \
             Organization '{parent}'"
        ),
    )
}

pub(crate) fn parent_not_root(org: &str, parent: &str) -> Denial {
    denial(
        reason::PARENT_NOT_ROOT,
        format!(
            "Organization '{org}' has parent '{parent}', which is a sub-organization itself: \
             only one level is possible"
        ),
    )
}

pub(crate) fn namespace_unreadable(org: &str, namespace: &str) -> Denial {
    denial(
        reason::NAMESPACE_UNREADABLE,
        format!(
            "Organization '{org}' selects namespaces by label, and the labels of namespace \
             '{namespace}' are not known yet or can't be read: if this persists, remove some \
             of its labels"
        ),
    )
}

pub(crate) fn namespace_not_allowed(org: &str, namespace: &str) -> Denial {
    denial(
        reason::NAMESPACE_NOT_ALLOWED,
        format!(
            "Organization '{org}' does not allow keys from namespace '{namespace}': create the \
             key in another namespace, or extend `allowedNamespaces` of the Organization"
        ),
    )
}

pub(crate) fn no_known_role(input: &Input<'_>) -> Denial {
    let subject = &input.subject;
    denial(
        reason::UNKNOWN_ROLE,
        format!(
            "`roles` [{}]: none is in the catalogue of Organization '{}', which has [{}]: \
             use one of those, or add one to `roles` of the Organization",
            subject.roles.join(", "),
            subject.org,
            grants::catalogue(input.organization, input.parent).join(", ")
        ),
    )
}

pub(crate) fn no_allowed_audience(input: &Input<'_>) -> Denial {
    let subject = &input.subject;
    denial(
        reason::AUDIENCE_NOT_ALLOWED,
        format!(
            "`token.audiences` [{}]: none is one of Organization '{}', which has [{}]: name \
             one of those, or add it to `audiences` of the Organization",
            subject.audiences().join(", "),
            subject.org,
            grants::audiences(input.organization, input.parent).join(", ")
        ),
    )
}

pub(crate) fn lifetime_too_long(
    org: &str,
    expires_at: Timestamp,
    latest: Timestamp,
    max_days: i64,
) -> Denial {
    denial(
        reason::LIFETIME_TOO_LONG,
        format!(
            "`expiry` {expires_at} is more than {max_days} days after the creation of the key, the \
             most that '{org}' allows: create it with an expiry of {latest} or earlier"
        ),
    )
}

pub(crate) fn quota_exceeded(over_quota: &OverQuota) -> Denial {
    let OverQuota {
        organization,
        max_keys,
    } = over_quota;
    denial(
        reason::QUOTA_EXCEEDED,
        format!(
            "Organization '{organization}' allows {max_keys} keys, including those of \
             sub-organizations and expired ones, and older keys use up this quota: delete a \
             key, or raise `limits.maxKeys`; the next oldest key is then admitted"
        ),
    )
}
