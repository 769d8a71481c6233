//! Organizations whose number of keys changed.

use std::collections::BTreeSet;

use parking_lot::Mutex;

/// Organizations whose number of keys changed recently. It ignores changes while it is closed,
/// because only the leader counts.
#[derive(Debug, Default)]
pub struct Recount(Mutex<Option<BTreeSet<String>>>);

impl Recount {
    /// Opens it, empty, because all organizations are reconciled now.
    pub fn open(&self) {
        *self.0.lock() = Some(BTreeSet::new());
    }

    /// Closes it and drops its content.
    pub fn close(&self) {
        self.0.lock().take();
    }

    /// Marks this organization: its number of keys changed.
    pub fn add(&self, name: &str) {
        if let Some(changed) = &mut *self.0.lock() {
            changed.insert(name.to_owned());
        }
    }

    /// Takes out what it holds.
    #[must_use]
    pub fn take(&self) -> BTreeSet<String> {
        self.0
            .lock()
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }
}
