//! What a list has shown so far.

use std::collections::BTreeSet;

use super::event::Event;
use apikey_client::object::{Identity, Stored};

/// What a list has shown so far. Objects that it does not show are gone, but only once it is
/// complete.
#[derive(Debug)]
pub struct Relist<I> {
    seen: Option<BTreeSet<I>>,
}

/// What follows from an event.
pub enum Step<K> {
    /// Nothing yet.
    Nothing,
    /// The object is there, as it is now.
    Put(K),
    /// The object is there, and what stands in it can't be read.
    Unreadable(Identity),
    /// The object is gone.
    Gone(Identity),
    /// A list is complete: what [`Relist::gone`] says is gone.
    Complete,
}

impl<I> Default for Relist<I> {
    fn default() -> Self {
        Self { seen: None }
    }
}

impl<I: Ord + Clone> Relist<I> {
    /// Takes in an event. A list that was under way when another begins counts for nothing.
    pub fn take<K>(&mut self, event: Event<K>, id: impl Fn(&Identity) -> I) -> Step<K> {
        match event {
            Event::Init => {
                self.seen = Some(BTreeSet::new());
                Step::Nothing
            }
            Event::InitApply(stored) => {
                if let Some(seen) = &mut self.seen {
                    seen.insert(id(&stored.identity));
                }
                Step::of(stored)
            }
            Event::Apply(stored) => Step::of(stored),
            Event::Delete(identity) => Step::Gone(identity),
            Event::InitDone => Step::Complete,
        }
    }

    /// Which of the objects `known` where it looked the list did not show.
    pub fn gone<'a>(&mut self, known: impl Iterator<Item = &'a I>) -> Vec<I>
    where
        I: 'a,
    {
        let seen = self.seen.take().unwrap_or_default();
        known.filter(|id| !seen.contains(*id)).cloned().collect()
    }
}

impl<K> Step<K> {
    fn of(stored: Stored<K>) -> Self {
        match stored.object {
            Ok(object) => Self::Put(object),
            Err(_) => Self::Unreadable(stored.identity),
        }
    }
}
