//! The places of one organization under `limits.maxKeys`: the oldest keys have them.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use super::KeyRef;

/// Age order: creation time, then uid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seat {
    /// When the key was created.
    pub(super) created: Timestamp,
    /// Its uid.
    pub(super) uid: Arc<str>,
    /// Which key it is.
    pub(super) key: KeyRef,
}

/// Who has a place under a quota, and who waits for one.
#[derive(Debug, Default)]
pub(super) struct Quota {
    /// Places there are; `None`: any number.
    pub(super) max_keys: Option<i64>,
    placed: BTreeSet<Seat>,
    waiting: BTreeSet<Seat>,
}

impl Quota {
    /// Whether a key waits for a place.
    pub(super) fn is_waiting(&self, seat: &Seat) -> bool {
        self.waiting.contains(seat)
    }

    fn has_room(&self) -> bool {
        let placed = i64::try_from(self.placed.len()).unwrap_or(i64::MAX);
        self.max_keys.is_none_or(|max| placed < max)
    }

    /// Seats a key and returns the key that lost its place for it.
    pub(super) fn insert(&mut self, seat: Seat) -> Option<KeyRef> {
        if self.has_room() {
            self.placed.insert(seat);
            return None;
        }
        match self.placed.last() {
            Some(youngest) if seat < *youngest => {
                let displaced = self.placed.pop_last();
                self.placed.insert(seat);
                let key = displaced.as_ref().map(|displaced| displaced.key.clone());
                self.waiting.extend(displaced);
                key
            }
            _ => {
                self.waiting.insert(seat);
                None
            }
        }
    }

    /// Unseats a key and returns the key that took its place.
    pub(super) fn remove(&mut self, seat: &Seat) -> Option<KeyRef> {
        if !self.placed.remove(seat) {
            self.waiting.remove(seat);
            return None;
        }
        let next = if self.has_room() {
            self.waiting.pop_first()
        } else {
            None
        };
        let key = next.as_ref().map(|next| next.key.clone());
        self.placed.extend(next);
        key
    }
}
