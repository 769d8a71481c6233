//! Decides which key owns a public id that several credential records name. Pure.
//!
//! Ids are random, so that only a fault or an attack makes two equal ones. The earliest record owns
//! the id. This does not depend on the order of events, and the deciding time is in the credential
//! records, which no tenant can write.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use super::credential::Evidence;
use apikey_credential::KeyId;

/// The claim of one credential record to an id. The claims to one id are ordered by age, the oldest
/// first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct IdClaim {
    key_id: KeyId,
    /// `None` on records of older versions, which do not store the time; it sorts before any time.
    since: Option<Timestamp>,
    uid: Arc<str>,
}

/// The claims of all credential records.
#[derive(Debug, Default)]
pub(super) struct IdClaims {
    all: BTreeSet<IdClaim>,
    refused: usize,
}

impl Evidence {
    pub(super) fn claim(&self, uid: &Arc<str>) -> IdClaim {
        IdClaim {
            key_id: self.key_id.clone(),
            since: self.key_id_since,
            uid: Arc::clone(uid),
        }
    }
}

impl IdClaims {
    /// Number of claims to an id that an earlier record owns.
    pub(super) const fn refused(&self) -> usize {
        self.refused
    }

    /// uid of the key that owns the id.
    pub(super) fn winner<'a>(&'a self, id: &'a KeyId) -> Option<&'a Arc<str>> {
        self.of(id).next().map(|claim| &claim.uid)
    }

    pub(super) fn add(&mut self, claim: IdClaim) {
        let taken = self.winner(&claim.key_id).is_some();
        if self.all.insert(claim) && taken {
            self.refused += 1;
        }
    }

    /// Removes the claim. Returns the uid of the key that owns the id now, if there is one.
    pub(super) fn remove(&mut self, claim: &IdClaim) -> Option<Arc<str>> {
        let removed = self.all.remove(claim);
        let winner = self.winner(&claim.key_id).cloned();
        if removed && winner.is_some() {
            self.refused -= 1;
        }
        winner
    }

    fn of<'a>(&'a self, id: &'a KeyId) -> impl Iterator<Item = &'a IdClaim> {
        let first = IdClaim {
            key_id: id.clone(),
            since: None,
            uid: Arc::default(),
        };
        self.all
            .range(first..)
            .take_while(move |claim| claim.key_id == *id)
    }
}
