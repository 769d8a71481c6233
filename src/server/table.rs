//! The open connections by source: decides on admission and eviction. Pure.

use std::collections::BTreeMap;

use super::connection::Evictable;
use super::source::Source;

/// When there is no room, this fraction of the limit is evicted at once. Finding the oldest
/// connections takes a pass over all of them; evicting several spreads that cost over as many new
/// ones.
const EVICTED_AT_ONCE: usize = 64;

/// The open connections by source.
#[derive(Debug)]
pub struct Table<Id, Entry> {
    limit: usize,
    source_limit: usize,
    sources: BTreeMap<Source, BTreeMap<Id, Entry>>,
    places: BTreeMap<Id, Source>,
}

/// Whether there is room for a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Room<Id> {
    /// Yes, after these are evicted.
    After(Vec<Id>),
    /// No: its source is at its limit, and all its connections are in use.
    SourceLimit,
    /// Not yet: all connections are in use.
    Wait,
}

impl<Id: Copy + Ord, Entry> Table<Id, Entry> {
    /// Creates an empty table with a limit for all connections, and one per source.
    #[must_use]
    pub fn new(limit: usize, source_limit: usize) -> Self {
        Self {
            limit,
            source_limit,
            sources: BTreeMap::new(),
            places: BTreeMap::new(),
        }
    }

    /// Adds a connection.
    pub fn insert(&mut self, source: Source, id: Id, entry: Entry) {
        self.sources.entry(source).or_default().insert(id, entry);
        self.places.insert(id, source);
    }

    /// Removes a connection.
    pub fn remove(&mut self, id: Id) -> Option<Entry> {
        let source = self.places.remove(&id)?;
        let entries = self.sources.get_mut(&source)?;
        let entry = entries.remove(&id);
        if entries.is_empty() {
            self.sources.remove(&source);
        }
        entry
    }

    /// All connections.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &Entry)> {
        let entries = self.sources.values().flatten();
        entries.map(|(id, entry)| (*id, entry))
    }

    /// Whether there are no connections.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether there is room for a connection of this source. An exempt one counts only towards the
    /// limit for all.
    pub fn room(
        &self,
        source: Source,
        exempt: bool,
        evictable: impl Fn(&Entry) -> Option<Evictable>,
    ) -> Room<Id> {
        let own = self.sources.get(&source).filter(|_| !exempt);
        let own = own.filter(|entries| entries.len() >= self.source_limit);
        if let Some(entries) = own {
            let entries = entries.iter().map(|(id, entry)| (*id, entry));
            let oldest = oldest(entries, self.source_limit, evictable);
            return if oldest.is_empty() {
                Room::SourceLimit
            } else {
                Room::After(oldest)
            };
        }
        if self.places.len() < self.limit {
            return Room::After(Vec::new());
        }
        let oldest = oldest(self.iter(), self.limit, evictable);
        if oldest.is_empty() {
            Room::Wait
        } else {
            Room::After(oldest)
        }
    }
}

/// The connections to evict, where the limit is `limit`.
fn oldest<'a, Id, Entry: 'a>(
    entries: impl Iterator<Item = (Id, &'a Entry)>,
    limit: usize,
    evictable: impl Fn(&Entry) -> Option<Evictable>,
) -> Vec<Id> {
    let most = limit.div_ceil(EVICTED_AT_ONCE);
    let mut candidates: Vec<_> = entries
        .filter_map(|(id, entry)| Some((evictable(entry)?, id)))
        .collect();
    if candidates.len() > most {
        candidates.select_nth_unstable_by_key(most, |(order, _)| *order);
        candidates.truncate(most);
    }
    candidates.into_iter().map(|(_, id)| id).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    fn source(n: u8) -> Source {
        Source::of([192, 0, 2, n].into())
    }

    /// A table of these connections: source, id, and since when it is idle.
    fn table(entries: &[(u8, u32, Option<u64>)]) -> Table<u32, Option<Evictable>> {
        let start = Instant::now();
        let mut table = Table::new(4, 2);
        for (n, id, idle) in entries {
            let idle = idle.map(|seconds| Evictable::Waiting(start + Duration::from_secs(seconds)));
            table.insert(source(*n), *id, idle);
        }
        table
    }

    #[test]
    fn a_source_over_its_limit_gives_its_own_oldest_and_takes_nothing_from_others() {
        let table = table(&[(1, 1, Some(5)), (1, 2, Some(3)), (2, 3, Some(1))]);
        assert_eq!(
            table.room(source(1), false, |idle| *idle),
            Room::After(vec![2])
        );
        assert_eq!(
            table.room(source(1), true, |idle| *idle),
            Room::After(vec![])
        );
        assert_eq!(
            table.room(source(3), false, |idle| *idle),
            Room::After(vec![])
        );
    }

    #[test]
    fn a_source_that_uses_all_its_connections_gets_no_more() {
        let mut table = table(&[(1, 1, None), (1, 2, None)]);
        assert_eq!(
            table.room(source(1), false, |idle| *idle),
            Room::SourceLimit
        );
        table.remove(1);
        assert_eq!(
            table.room(source(1), false, |idle| *idle),
            Room::After(vec![])
        );
        table.remove(2);
        assert!(table.is_empty() && table.sources.is_empty());
    }

    #[test]
    fn at_saturation_the_oldest_idle_connection_goes_and_a_used_one_stays() {
        let full = [(1, 1, None), (1, 2, Some(7)), (2, 3, Some(6)), (3, 4, None)];
        let room = |entries: &[_]| table(entries).room(source(9), false, |idle| *idle);
        assert_eq!(room(&full), Room::After(vec![3]));
        assert_eq!(room(&full.map(|(n, id, _)| (n, id, None))), Room::Wait);
    }
}
