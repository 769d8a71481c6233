//! The effective limits of an organization. Those of its tokens are in `token_lifetime`.

use apikey_api::{Organization, OrganizationLimits};

/// Maximum lifetime of a key in days, if the organization sets none.
pub const DEFAULT_MAX_LIFETIME_DAYS: i64 = 365;
/// Lifetime in days of a key without an expiry, if the organization sets none.
pub const DEFAULT_LIFETIME_DAYS: i64 = 180;

/// The effective limits: those of the organization, limited and completed by those of its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) max_days: i64,
    pub(super) default_days: i64,
}

impl Limits {
    pub(super) fn of(organization: Option<&Organization>, parent: Option<&Organization>) -> Self {
        let max_days = lowest(organization, parent, |limits| limits.max_lifetime_days)
            .unwrap_or(DEFAULT_MAX_LIFETIME_DAYS);
        let default = |o: Option<&Organization>| limits_of(o)?.default_lifetime_days;
        let default_days = default(organization)
            .or_else(|| default(parent))
            .unwrap_or(DEFAULT_LIFETIME_DAYS);
        Self {
            max_days,
            default_days: default_days.min(max_days),
        }
    }
}

/// The lower of the limits that the organization and its parent set in a field. `None` if neither sets one.
pub(super) fn lowest(
    organization: Option<&Organization>,
    parent: Option<&Organization>,
    field: fn(&OrganizationLimits) -> Option<i64>,
) -> Option<i64> {
    let set = [organization, parent].map(|o| limits_of(o).and_then(field));
    set.into_iter().flatten().min()
}

fn limits_of(organization: Option<&Organization>) -> Option<&OrganizationLimits> {
    organization?.spec.limits.as_ref()
}
