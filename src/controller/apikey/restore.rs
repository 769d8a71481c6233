//! What is decided about a key while keys are restored from a backup. Pure.
//!
//! Objects come back in any order and under new uids, so what is missing may still come: nothing is
//! minted and nothing is removed. What is there is taken over, credential records by [`crate::controller`]'s
//! sweeper, which sees those whose owner is gone.

use k8s_openapi::jiff::SignedDuration;

use super::delivered::Ownership;
use super::facts::Facts;
use super::model::{Action, Missing, Situation};
use super::upkeep::upkeep;
use apikey_api::ApiKey;
use apikey_credential::record::CredentialRecord;

/// How long to wait before looking again at what is missing: a Secret without an owner is not known
/// to belong to a key.
pub const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(5);

/// Whether the key took the place of the one that the document is about: a key with another
/// organization or expiry is another key.
#[must_use]
pub fn may_adopt(apikey: &ApiKey, document: &CredentialRecord) -> bool {
    let declared = apikey_policy::spec_expiry(apikey.spec.expiry.as_deref());
    let fits = |expiry: Option<_>| expiry.is_none_or(|expiry| expiry == document.expires_at.0);
    apikey.spec.org == document.org
        && declared.is_ok_and(fits)
        && apikey.metadata.deletion_timestamp.is_none()
}

/// The decision about a key that policy allows and that is not expired.
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
    let act = |action| (vec![action], Situation::Working);
    match observed.delivered_owner() {
        None if document.claim.is_over() => upkeep(observed, document),
        None => missing(Missing::Delivered),
        Some(Ownership::Nobody | Ownership::EarlierKey) if is_current || is_pending => {
            act(Action::AdoptDelivered)
        }
        Some(Ownership::ThisKey) if is_pending => act(Action::Promote),
        Some(Ownership::ThisKey) if is_current => upkeep(observed, document),
        Some(Ownership::ThisKey) => missing(Missing::Match),
        Some(Ownership::Nobody) if named.is_some() => missing(Missing::Match),
        Some(Ownership::EarlierKey) => (Vec::new(), Situation::EarlierSecret),
        Some(Ownership::Nobody | Ownership::Other) => (Vec::new(), Situation::SecretConflict),
    }
}
