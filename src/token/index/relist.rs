//! What a list has shown so far.

use std::collections::BTreeSet;

/// What a list has shown so far. Objects that it does not show are gone, but only once it is
/// complete.
#[derive(Debug)]
pub(super) struct Relist<I> {
    seen: Option<BTreeSet<I>>,
    complete: bool,
}

impl<I> Default for Relist<I> {
    fn default() -> Self {
        Self {
            seen: None,
            complete: false,
        }
    }
}

impl<I: Ord + Clone> Relist<I> {
    /// A list begins; one that was under way counts for nothing.
    pub(super) fn begin(&mut self) {
        self.seen = Some(BTreeSet::new());
    }

    /// The list shows this object.
    pub(super) fn saw(&mut self, id: I) {
        if let Some(seen) = &mut self.seen {
            seen.insert(id);
        }
    }

    /// The list is complete. Returns which of the `known` objects it did not show.
    pub(super) fn end<'a>(&mut self, known: impl Iterator<Item = &'a I>) -> Vec<I>
    where
        I: 'a,
    {
        self.complete = true;
        let seen = self.seen.take().unwrap_or_default();
        known.filter(|id| !seen.contains(*id)).cloned().collect()
    }

    /// Whether a list has been complete.
    pub(super) const fn is_complete(&self) -> bool {
        self.complete
    }
}
