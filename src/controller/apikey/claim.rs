//! A secret that is shown once, from its delivery to the removal of its Secret. Pure.
//!
//! A client claims the secret by a conditional write that sets the annotation `revealed-at` on the
//! delivered Secret. The steps here do not depend on policy: a claimed or overdue Secret is removed
//! even if the key is expired or refused.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::facts::Facts;
use super::model::Action;
use apikey_credential::record::{Cause, Claim, CredentialRecord};

/// The next step for the delivered Secret of a key whose secret is shown once. `None` if there is
/// no step that only such keys need.
pub(super) fn step(facts: &Facts<'_>, document: &CredentialRecord) -> Option<Action> {
    let observed = facts.observed;
    if !observed.apikey.reveals_once() {
        return None;
    }
    let secret = observed.own_delivered();
    let Some(secret) = secret.filter(|secret| !secret.is_deleting) else {
        let empties = facts.is_kept_by_finalizer() && !observed.unemptied;
        let empty = empties.then_some(Action::EmptyDelivered);
        return empty.or_else(|| missing(facts, document));
    };
    let named = secret.names(&observed.apikey).unwrap_or_default();
    if let Some(pending) = document.pending(named) {
        // Another process delivered this replacement after the secret was claimed. Nobody requested
        // it, and promoting it would end the claimed secret.
        let is_unrequested = document.claim.is_over() && pending.entry.cause == Cause::Replacement;
        return Some(if is_unrequested {
            Action::RemoveDelivered
        } else {
            Action::Promote
        });
    }
    if document.claim.is_over() {
        return Some(Action::RemoveDelivered);
    }
    // A stale cache may have the Secret from before the last rotation.
    if !facts.is_delivered && !observed.confirmed {
        return Some(Action::Confirm);
    }
    if let Some(claimed) = &secret.revealed_at {
        // A claim with an invalid time is still a claim.
        let at = MicroTime(claimed.parse().unwrap_or(observed.now));
        return Some(Action::RecordClaim(Claim::Revealed { at }));
    }
    let recorded = document.claim == Claim::Delivered;
    match (recorded, facts.is_delivered) {
        (false, true) => Some(Action::RecordClaim(Claim::Delivered)),
        // The secret was delivered, and the Secret now holds something else. Nothing is minted
        // without a request.
        (true, false) => Some(Action::RecordClaim(Claim::Removed)),
        (true, true) | (false, false) => facts.is_overdue().then_some(Action::RemoveDelivered),
    }
}

/// The next step if the Secret is missing.
fn missing(facts: &Facts<'_>, document: &CredentialRecord) -> Option<Action> {
    if document.claim != Claim::Delivered {
        return None;
    }
    if !facts.observed.confirmed {
        return Some(Action::Confirm);
    }
    Some(Action::RecordClaim(if facts.is_overdue() {
        Claim::Unclaimed
    } else {
        Claim::Removed
    }))
}
