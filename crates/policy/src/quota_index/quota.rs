//! The quota of one organization, `limits.maxKeys`. It admits the oldest keys.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use apikey_api::KeyRef;

/// A key to admit. Candidates are ordered by creation time, then uid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    /// Time at which the key was created.
    pub(super) created: Timestamp,
    /// The uid of the key.
    pub(super) uid: Arc<str>,
    /// Namespace and name of the key.
    pub(super) key: KeyRef,
}

/// The keys that a quota admits, and those that are queued.
#[derive(Debug, Default)]
pub(super) struct Quota {
    /// Maximum number of admitted keys. `None` means unlimited.
    pub(super) max_keys: Option<i64>,
    admitted: BTreeSet<Candidate>,
    queued: BTreeSet<Candidate>,
}

impl Quota {
    /// Whether a key is queued.
    pub(super) fn is_queued(&self, candidate: &Candidate) -> bool {
        self.queued.contains(candidate)
    }

    fn has_room(&self) -> bool {
        let admitted = i64::try_from(self.admitted.len()).unwrap_or(i64::MAX);
        self.max_keys.is_none_or(|max| admitted < max)
    }

    /// Admits or queues a key. Returns the key that is queued in its place, if there is one.
    pub(super) fn insert(&mut self, candidate: Candidate) -> Option<KeyRef> {
        if self.has_room() {
            self.admitted.insert(candidate);
            return None;
        }
        match self.admitted.last() {
            Some(youngest) if candidate < *youngest => {
                let displaced = self.admitted.pop_last();
                self.admitted.insert(candidate);
                let key = displaced.as_ref().map(|displaced| displaced.key.clone());
                self.queued.extend(displaced);
                key
            }
            _ => {
                self.queued.insert(candidate);
                None
            }
        }
    }

    /// Removes a key. Returns the key that is admitted in its place, if there is one.
    pub(super) fn remove(&mut self, candidate: &Candidate) -> Option<KeyRef> {
        if !self.admitted.remove(candidate) {
            self.queued.remove(candidate);
            return None;
        }
        let next = if self.has_room() {
            self.queued.pop_first()
        } else {
            None
        };
        let key = next.as_ref().map(|next| next.key.clone());
        self.admitted.extend(next);
        key
    }
}
