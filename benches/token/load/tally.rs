//! The counted responses of a load.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// The longest time that the histogram resolves. Unit: nanoseconds.
const MAX_NANOSECONDS: u64 = 60_000_000_000;
/// The width of a slice of time.
pub(crate) const SLICE: Duration = Duration::from_millis(50);

/// The responses to the requests of a group within the measured time.
pub(crate) struct PhaseCounts {
    /// The time from request to response. For new connections it includes the connect. Unit: nanoseconds.
    times: Histogram<u64>,
    /// Responses by status code.
    pub(crate) answers: BTreeMap<u16, u64>,
    /// Connections that failed, at any time.
    pub(crate) broken: u64,
    /// Responses in each slice of the measured time.
    pub(crate) slices: Vec<u64>,
}

impl Default for PhaseCounts {
    fn default() -> Self {
        Self {
            times: Histogram::new_with_max(MAX_NANOSECONDS, 3).unwrap(),
            answers: BTreeMap::new(),
            broken: 0,
            slices: Vec::new(),
        }
    }
}

impl PhaseCounts {
    pub(crate) fn note(&mut self, status: u16, took: Duration, since: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.times.saturating_record(nanoseconds);
        *self.answers.entry(status).or_default() += 1;
        let slice = usize::try_from(since.as_nanos() / SLICE.as_nanos()).unwrap();
        if self.slices.len() <= slice {
            self.slices.resize(slice + 1, 0);
        }
        self.slices[slice] += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.times.add(&other.times).unwrap();
        for (status, count) in &other.answers {
            *self.answers.entry(*status).or_default() += count;
        }
        self.broken += other.broken;
        let slices = self.slices.len().max(other.slices.len());
        self.slices.resize(slices, 0);
        for (slice, count) in other.slices.iter().enumerate() {
            self.slices[slice] += count;
        }
    }

    pub(crate) fn count(&self, status: u16) -> u64 {
        self.answers.get(&status).copied().unwrap_or_default()
    }

    pub(crate) fn all(&self) -> u64 {
        self.answers.values().sum()
    }

    pub(crate) fn percentile(&self, percent: f64) -> Duration {
        Duration::from_nanos(self.times.value_at_percentile(percent))
    }
}

/// The measured time.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    pub(crate) from: Instant,
    pub(crate) until: Instant,
}

impl Window {
    pub(crate) fn holds(&self, sent: Instant, answered: Instant) -> bool {
        self.from <= sent && answered <= self.until
    }
}
