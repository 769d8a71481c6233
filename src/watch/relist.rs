//! Tracks the objects of a list.

use std::collections::BTreeSet;

use super::event::Event;
use apikey_client::object::{Identity, Stored};

/// Tracks the objects of a list. Objects that it does not contain are deleted, but only once it is
/// complete.
#[derive(Debug)]
pub struct Relist<I> {
    seen: Option<BTreeSet<I>>,
}

/// The consequence of an event.
pub enum Update<K> {
    /// Nothing yet.
    Nothing,
    /// The object exists, with this content.
    Put(K),
    /// The object exists, and its content can't be read.
    Unreadable(Identity),
    /// The object was deleted.
    Gone(Identity),
    /// A list is complete: the objects of [`Relist::gone`] are deleted.
    Complete,
}

impl<I> Default for Relist<I> {
    fn default() -> Self {
        Self { seen: None }
    }
}

impl<I: Ord + Clone> Relist<I> {
    /// Handles an event. If a list begins during another one, the earlier one is discarded.
    pub fn take<K>(&mut self, event: Event<K>, id: impl Fn(&Identity) -> I) -> Update<K> {
        match event {
            Event::Init => {
                self.seen = Some(BTreeSet::new());
                Update::Nothing
            }
            Event::InitApply(stored) => {
                if let Some(seen) = &mut self.seen {
                    seen.insert(id(&stored.identity));
                }
                Update::of(stored)
            }
            Event::Apply(stored) => Update::of(stored),
            Event::Delete(identity) => Update::Gone(identity),
            Event::InitDone => Update::Complete,
        }
    }

    /// Returns those of the `known` objects that the complete list does not contain.
    pub fn gone<'a>(&mut self, known: impl Iterator<Item = &'a I>) -> Vec<I>
    where
        I: 'a,
    {
        let seen = self.seen.take().unwrap_or_default();
        known.filter(|id| !seen.contains(*id)).cloned().collect()
    }
}

impl<K> Update<K> {
    fn of(stored: Stored<K>) -> Self {
        match stored.object {
            Ok(object) => Self::Put(object),
            Err(_) => Self::Unreadable(stored.identity),
        }
    }
}
