//! What this process knows of a stored ring.

use std::sync::Arc;

use parking_lot::RwLock;

use apikey_client::object::Whole;

/// The newest usable ring that this process has seen, and the Secret that contains it.
#[derive(Debug)]
pub struct Slot<R>(RwLock<Option<Known<R>>>);

#[derive(Debug)]
struct Known<R> {
    ring: Arc<R>,
    /// The Secret without the ring; `None` if it does not exist.
    shell: Option<Whole>,
}

impl<R> Default for Slot<R> {
    fn default() -> Self {
        Self(RwLock::new(None))
    }
}

impl<R> Slot<R> {
    /// The ring.
    #[must_use]
    pub fn ring(&self) -> Option<Arc<R>> {
        let known = self.0.read();
        known.as_ref().map(|known| Arc::clone(&known.ring))
    }

    /// Whether the Secret existed at the last read.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.shell().is_some()
    }

    pub(super) fn shell(&self) -> Option<Whole> {
        self.0.read().as_ref()?.shell.clone()
    }

    pub(super) fn set(&self, ring: Arc<R>, shell: Whole) {
        let shell = Some(shell);
        *self.0.write() = Some(Known { ring, shell });
    }

    pub(super) fn is_gone(&self) {
        if let Some(known) = &mut *self.0.write() {
            known.shell = None;
        }
    }
}
