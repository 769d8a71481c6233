//! Whose a public id is, where several verifiers name it. Pure.
//!
//! Ids are random, so that only a fault or an attack makes two of one. The earliest has it: it does
//! not depend on the order of events, and what decides is in the verifiers, which no tenant can write.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use super::Evidence;
use apikey_credential::KeyId;

/// One verifier's claim to an id, the earliest of each id first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claim {
    key_id: KeyId,
    /// `None`, of a verifier from before it was noted, is earlier than any time.
    since: Option<Timestamp>,
    uid: Arc<str>,
}

/// The claims of all verifiers.
#[derive(Debug, Default)]
pub(super) struct Claims {
    all: BTreeSet<Claim>,
    refused: usize,
}

impl Evidence {
    pub(super) fn claim(&self, uid: &Arc<str>) -> Claim {
        Claim {
            key_id: self.key_id.clone(),
            since: self.key_id_since,
            uid: Arc::clone(uid),
        }
    }
}

impl Claims {
    /// Number of claims to an id that an earlier one has.
    pub(super) const fn refused(&self) -> usize {
        self.refused
    }

    /// uid of the key that has the id.
    pub(super) fn winner<'a>(&'a self, id: &'a KeyId) -> Option<&'a Arc<str>> {
        self.of(id).next().map(|claim| &claim.uid)
    }

    pub(super) fn add(&mut self, claim: Claim) {
        let taken = self.winner(&claim.key_id).is_some();
        if self.all.insert(claim) && taken {
            self.refused += 1;
        }
    }

    /// Drops the claim. The uid of the key that has the id now, if one does.
    pub(super) fn remove(&mut self, claim: &Claim) -> Option<Arc<str>> {
        let removed = self.all.remove(claim);
        let winner = self.winner(&claim.key_id).cloned();
        if removed && winner.is_some() {
            self.refused -= 1;
        }
        winner
    }

    fn of<'a>(&'a self, id: &'a KeyId) -> impl Iterator<Item = &'a Claim> {
        let first = Claim {
            key_id: id.clone(),
            since: None,
            uid: Arc::default(),
        };
        self.all
            .range(first..)
            .take_while(move |claim| claim.key_id == *id)
    }
}
