//! The effective limits of an organization.

use apikey_api::{Organization, OrganizationLimits};

/// Maximum lifetime of a key in days, if the organization sets none.
pub const DEFAULT_MAX_LIFETIME_DAYS: i64 = 365;
/// Lifetime in days of a key without an expiry, if the organization sets none.
pub const DEFAULT_LIFETIME_DAYS: i64 = 180;
/// Lifetime of a token in seconds if the key sets none, and the maximum if the organization sets none.
pub const DEFAULT_TOKEN_TTL_SECONDS: i64 = 3600;

/// The effective limits: those of the organization, limited and completed by those of its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) max_days: i64,
    pub(super) default_days: i64,
    pub(super) max_token_ttl_seconds: i64,
}

impl Limits {
    pub(super) fn of(organization: Option<&Organization>, parent: Option<&Organization>) -> Self {
        let own = organization.and_then(|o| o.spec.limits.as_ref());
        let parents = parent.and_then(|o| o.spec.limits.as_ref());
        let get = |field: fn(&OrganizationLimits) -> Option<i64>| {
            (own.and_then(field), parents.and_then(field))
        };
        let bounded = |field| match get(field) {
            (Some(own), Some(parents)) => Some(own.min(parents)),
            (own, parents) => own.or(parents),
        };
        let max_days =
            bounded(|limits| limits.max_lifetime_days).unwrap_or(DEFAULT_MAX_LIFETIME_DAYS);
        let (own_default, parents_default) = get(|limits| limits.default_lifetime_days);
        let default_days = own_default
            .or(parents_default)
            .unwrap_or(DEFAULT_LIFETIME_DAYS);
        Self {
            max_days,
            default_days: default_days.min(max_days),
            max_token_ttl_seconds: bounded(|limits| limits.max_token_ttl_seconds)
                .unwrap_or(DEFAULT_TOKEN_TTL_SECONDS),
        }
    }
}
