//! Decides whether a key may exist, and with which roles and limits. The entry point is the pure function
//! [`assess`].
//!
//! The controller calls it before it mints a secret, and the token endpoint calls it before it issues a
//! token. Neither trusts `status`. Inputs are plain values, including the time.

mod assess;
mod denials;
mod grants;
mod input;
mod limits;
mod namespaces;
mod organization_id;
mod owners;
pub mod quota_index;
mod token_lifetime;
mod verdict;

pub use self::assess::{assess, spec_expiry};
pub use self::grants::{Grant, catalogue, in_sub_organizations};
pub use self::input::{Input, OverQuota, Subject};
pub use self::limits::{DEFAULT_LIFETIME_DAYS, DEFAULT_MAX_LIFETIME_DAYS};
pub use self::namespaces::namespace_allowed;
pub use self::organization_id::{default_organization_id, organization_id};
pub use self::token_lifetime::DEFAULT_TOKEN_TTL_SECONDS;
pub use self::verdict::{Assessment, Denial, Verdict};

#[cfg(test)]
mod tests;
