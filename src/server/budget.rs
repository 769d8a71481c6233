//! Memory budget of running requests: for all of them, and for those of one source.
//!
//! Before a request is processed, the budget is charged with the memory that it may need. The
//! charge lasts from the head of the request to the end of its response. A request that does not
//! fit is refused and released at once, so that no number of connections, streams, fields or
//! unfinished bodies can exhaust the memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::source::Source;

/// Budget of all requests of a port. Unit: bytes.
pub const TOTAL_BYTES: usize = 64 * 1024 * 1024;
/// Budget of the requests of one source. Unit: bytes.
pub const SOURCE_BYTES: usize = TOTAL_BYTES / 4;
/// Guaranteed budget of one source while others use the whole budget, so that no source is locked
/// out. Unit: bytes.
pub const LEAST_BYTES: usize = 64 * 1024;

/// Memory of a request besides its head and body: tasks, stream, response. Unit: bytes.
const REQUEST_BYTES: usize = 4 * 1024;
/// Memory of a field besides its text. Unit: bytes.
const FIELD_BYTES: usize = 128;

/// The memory that a request may need, from the fields of its head and the maximum length of a body
/// that is still to come. Unit: bytes.
pub fn cost_bytes<'a>(
    fields: impl Iterator<Item = (&'a str, &'a [u8])>,
    body_bytes: usize,
) -> usize {
    let head = fields.map(|(name, value)| FIELD_BYTES + name.len() + value.len());
    REQUEST_BYTES + body_bytes + head.sum::<usize>()
}

/// The charged memory, by source.
#[derive(Debug, Default)]
pub struct Budget {
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    sources: BTreeMap<Source, usize>,
}

/// A charge, which is released when this is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    source: Source,
    bytes: usize,
}

impl Budget {
    /// Charges a request of this source; an exempt source may use the whole budget. `None` if there
    /// is no room.
    #[must_use]
    pub fn take(self: &Arc<Self>, source: Source, exempt: bool, bytes: usize) -> Option<Share> {
        let mut taken = self.taken.lock();
        let own = taken.sources.get(&source).copied().unwrap_or(0) + bytes;
        let fits = taken.total + bytes <= TOTAL_BYTES && (exempt || own <= SOURCE_BYTES);
        if !fits && own > LEAST_BYTES {
            return None;
        }
        taken.total += bytes;
        taken.sources.insert(source, own);
        Some(Share {
            budget: Arc::clone(self),
            source,
            bytes,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.budget.taken.lock();
        taken.total -= self.bytes;
        if let Some(own) = taken.sources.get_mut(&self.source) {
            *own -= self.bytes;
            if *own == 0 {
                taken.sources.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(n: u8) -> Source {
        Source::of([10, 0, 0, n].into())
    }

    #[test]
    fn a_source_takes_its_part_and_all_together_the_whole_and_what_is_given_back_is_there_again() {
        let budget = Arc::new(Budget::default());
        let mut shares = Vec::new();
        for n in 0..4 {
            shares.push(budget.take(source(n), false, SOURCE_BYTES).unwrap());
            assert!(budget.take(source(n), false, 1).is_none());
        }
        assert!(budget.take(source(9), true, LEAST_BYTES + 1).is_none());
        drop(shares.pop());
        assert!(budget.take(source(9), true, SOURCE_BYTES).is_some());
        drop(shares);
        assert!(budget.taken.lock().sources.is_empty());
        assert_eq!(budget.taken.lock().total, 0);
    }

    #[test]
    fn a_source_that_takes_little_is_never_kept_out() {
        let budget = Arc::new(Budget::default());
        let _all = [0, 1, 2, 3].map(|n| budget.take(source(n), false, SOURCE_BYTES).unwrap());
        let _little = budget.take(source(9), false, LEAST_BYTES).unwrap();
        assert!(budget.take(source(9), false, 1).is_none());
    }

    #[test]
    fn a_request_costs_its_text_and_something_for_each_field_and_for_itself() {
        let fields = [("a", &b"bc"[..]), ("d", b"")];
        let cost = cost_bytes(fields.into_iter(), 5);
        assert_eq!(cost, REQUEST_BYTES + 2 * FIELD_BYTES + 4 + 5);
    }
}
