//! A secret that is shown once: from its delivery to the end of the Secret. Pure.
//!
//! Whoever sets the annotation `revealed-at` on the delivered Secret by a conditional write has the
//! secret. These steps wait for no policy: what is claimed or overdue goes even if the key is expired
//! or refused.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::facts::Facts;
use super::model::Action;
use apikey_credential::record::{Cause, Claim, CredentialRecord};

/// What is to be done about the delivered Secret of a key whose secret is shown once; `None`: nothing
/// that only such keys need.
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
        // A replacement that was on its way while another process delivered, and the secret was taken:
        // nobody asked for it, and its promotion would end the secret that was taken.
        let stray = document.claim.is_over() && pending.entry.cause == Cause::Replacement;
        return Some(if stray {
            Action::RemoveDelivered
        } else {
            Action::Promote
        });
    }
    if document.claim.is_over() {
        return Some(Action::RemoveDelivered);
    }
    // A Secret from before the last rotation, in a cache that is behind, says nothing of this one.
    if !facts.is_delivered && !observed.confirmed {
        return Some(Action::Confirm);
    }
    if let Some(claimed) = &secret.revealed_at {
        // An unreadable time is still a claim.
        let at = MicroTime(claimed.parse().unwrap_or(observed.now));
        return Some(Action::RecordClaim(Claim::Revealed { at }));
    }
    let recorded = document.claim == Claim::Delivered;
    match (recorded, facts.is_delivered) {
        (false, true) => Some(Action::RecordClaim(Claim::Delivered)),
        // Delivered, and now something else stands there: it is not minted again by itself.
        (true, false) => Some(Action::RecordClaim(Claim::Removed)),
        (true, true) | (false, false) => facts.is_overdue().then_some(Action::RemoveDelivered),
    }
}

/// The Secret is not there.
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
