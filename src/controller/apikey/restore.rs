//! Decides about a key while keys are restored from a backup. Pure.
//!
//! Objects come back in any order and under new uids, so a missing object may still appear.
//! Therefore nothing is minted and nothing is removed. The key adopts its delivered Secret. The
//! sweeper in [`crate::controller`] adopts credential records, because it sees those whose owner is
//! gone.

use k8s_openapi::jiff::SignedDuration;

use super::facts::Facts;
use super::model::{Action, Missing, Situation};
use super::upkeep::upkeep;
use crate::controller::delivered::Ownership;
use apikey_api::ApiKey;
use apikey_credential::record::CredentialRecord;

/// Wait before the next look for a missing object. The watch can't enqueue the key of a Secret
/// without an owner.
pub const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(5);

/// Whether the key may adopt this document. A key with another organization or expiry is a
/// different key.
#[must_use]
pub fn may_adopt(apikey: &ApiKey, document: &CredentialRecord) -> bool {
    let declared = apikey_policy::spec_expiry(apikey.spec.expiry.as_deref());
    let fits = |expiry: Option<_>| expiry.is_none_or(|expiry| expiry == document.expires_at.0);
    apikey.spec.org == document.org
        && declared.is_ok_and(fits)
        && apikey.metadata.deletion_timestamp.is_none()
}

/// Decides about a key that policy allows and that is not expired.
pub(super) fn decide(facts: &Facts<'_>) -> (Vec<Action>, Situation) {
    let observed = facts.observed;
    let missing = |missing| (Vec::new(), Situation::AwaitingRestore(missing));
    let Some(document) = observed.document() else {
        return missing(Missing::Record);
    };
    let delivered = observed.delivered.as_deref();
    let named = delivered.and_then(|secret| secret.entry_digest.as_deref());
    let is_current = named == Some(&document.current.digest());
    let is_pending = named.is_some_and(|named| document.pending(named).is_some());
    let step = |action| (vec![action], Situation::Working);
    match observed.delivered_owner() {
        None if document.claim.is_over() => upkeep(observed, document),
        None => missing(Missing::Delivered),
        Some(Ownership::Nobody | Ownership::EarlierKey) if is_current || is_pending => {
            step(Action::AdoptDelivered)
        }
        Some(Ownership::ThisKey) if is_pending => step(Action::Promote),
        Some(Ownership::ThisKey) if is_current => upkeep(observed, document),
        Some(Ownership::ThisKey) => missing(Missing::Match),
        Some(Ownership::Nobody) if named.is_some() => missing(Missing::Match),
        Some(Ownership::EarlierKey) => (Vec::new(), Situation::EarlierSecret),
        Some(Ownership::Nobody | Ownership::Other) => (Vec::new(), Situation::SecretConflict),
    }
}
