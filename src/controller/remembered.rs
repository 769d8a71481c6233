//! What this process remembers of each key, by uid, while it leads.
//!
//! # Guarantees
//!
//! Nothing remains of a key whose deletion was seen, even if a reconcile of it ends later. Nothing
//! outlives the leadership.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// What is remembered of each key, by uid.
#[derive(Debug)]
pub struct Remembered<T>(Mutex<BTreeMap<Box<str>, T>>);

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Remembered<T> {
    /// What is remembered of a key; `None` if nothing has been since this process began to lead.
    #[must_use]
    pub fn of(&self, uid: &str) -> Option<T> {
        self.0.lock().get(uid).cloned()
    }

    /// Remembers something of a key. If nothing is remembered of it yet, the key must exist,
    /// because its deletion may have been seen in the meantime.
    pub fn set(&self, uid: &str, value: T, is_there: impl FnOnce() -> bool) {
        let mut remembered = self.0.lock();
        if let Some(known) = remembered.get_mut(uid) {
            *known = value;
        } else if is_there() {
            remembered.insert(uid.into(), value);
        }
    }

    /// Forgets a deleted key.
    pub fn forget(&self, uid: &str) {
        self.0.lock().remove(uid);
    }

    /// Forgets all keys, because another controller may lead now.
    pub fn clear(&self) {
        self.0.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_was_deleted_is_not_remembered_by_one_who_is_late() {
        let remembered = Remembered::default();
        remembered.set("a", 1, || false);
        assert_eq!(remembered.of("a"), None);
        remembered.set("a", 1, || true);
        remembered.set("a", 2, || unreachable!("it is known"));
        assert_eq!(remembered.of("a"), Some(2));
        remembered.forget("a");
        assert_eq!(remembered.of("a"), None);
        remembered.set("b", 1, || true);
        remembered.clear();
        assert_eq!(remembered.of("b"), None);
    }
}
