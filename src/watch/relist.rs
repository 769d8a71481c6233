//! What a list has shown so far.

use std::collections::BTreeSet;

use kube::runtime::watcher::Event;

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
    /// The object is gone.
    Gone(K),
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
    pub fn take<K>(&mut self, event: Event<K>, id: impl Fn(&K) -> I) -> Step<K> {
        match event {
            Event::Init => {
                self.seen = Some(BTreeSet::new());
                Step::Nothing
            }
            Event::InitApply(object) => {
                if let Some(seen) = &mut self.seen {
                    seen.insert(id(&object));
                }
                Step::Put(object)
            }
            Event::Apply(object) => Step::Put(object),
            Event::Delete(object) => Step::Gone(object),
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
