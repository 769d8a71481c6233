//! A secret that is shown once: from its delivery to the end of the Secret. Pure.
//!
//! Whoever sets the annotation `revealed-at` on the delivered Secret by a conditional write has the
//! secret. These steps wait for no policy: what is claimed or overdue goes even if the key is expired
//! or refused.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::model::{Action, Observed};
use apikey_credential::record::{Cause, Claim, CredentialRecord};

/// When an unclaimed Secret is removed; `None` if the key's secret is not shown once, or is no longer
/// there.
#[must_use]
pub fn claim_until(observed: &Observed) -> Option<Timestamp> {
    let document = observed.document()?;
    let secret = observed.apikey.spec.secret.as_ref()?;
    let waits = observed.apikey.reveals_once() && !document.claim.is_over();
    let within = SignedDuration::from_secs(secret.reveal_within_seconds().into());
    let until = document.current.created_at.0.checked_add(within).ok()?;
    waits.then_some(until)
}

/// What is to be done about the delivered Secret of a key whose secret is shown once; `None`: nothing
/// that only such keys need.
pub(super) fn step(observed: &Observed, document: &CredentialRecord) -> Option<Action> {
    if !observed.apikey.reveals_once() {
        return None;
    }
    let secret = observed.own_delivered();
    let Some(secret) = secret.filter(|secret| !secret.is_deleting) else {
        let empties = is_kept(observed) && !observed.unemptied;
        let empty = empties.then_some(Action::EmptyDelivered);
        return empty.or_else(|| missing(observed, document));
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
    let holds_current = named == document.current.digest();
    // A Secret from before the last rotation, in a cache that is behind, says nothing of this one.
    if !holds_current && !observed.confirmed {
        return Some(Action::Confirm);
    }
    if let Some(claimed) = &secret.revealed_at {
        // An unreadable time is still a claim.
        let at = MicroTime(claimed.parse().unwrap_or(observed.now));
        return Some(Action::RecordClaim(Claim::Revealed { at }));
    }
    let recorded = document.claim == Claim::Delivered;
    match (recorded, holds_current) {
        (false, true) => Some(Action::RecordClaim(Claim::Delivered)),
        // Delivered, and now something else stands there: it is not minted again by itself.
        (true, false) => Some(Action::RecordClaim(Claim::Removed)),
        (true, true) | (false, false) => is_overdue(observed).then_some(Action::RemoveDelivered),
    }
}

/// Whether the Secret has no further use, is being deleted, and still holds the value: a finalizer keeps it.
pub(super) fn is_kept(observed: &Observed) -> bool {
    let over = observed.document().is_some_and(|d| d.claim.is_over());
    let secret = observed.own_delivered();
    over && secret.is_some_and(|secret| secret.is_deleting && secret.verifier.is_some())
}

/// The Secret is not there.
fn missing(observed: &Observed, document: &CredentialRecord) -> Option<Action> {
    if document.claim != Claim::Delivered {
        return None;
    }
    if !observed.confirmed {
        return Some(Action::Confirm);
    }
    Some(Action::RecordClaim(if is_overdue(observed) {
        Claim::Unclaimed
    } else {
        Claim::Removed
    }))
}

fn is_overdue(observed: &Observed) -> bool {
    claim_until(observed).is_some_and(|until| until <= observed.now)
}
