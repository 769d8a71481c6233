//! Budgets of refusals, per source and for all sources together.
//!
//! A check of a forged secret takes less than a microsecond, so the budgets do not protect the CPU
//! on the usual path. They slow down guessing, keep the audit log readable, and keep floods away
//! from argon2id. A caller that authenticates without argon2id is never charged.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::server::source::Source;

/// Number of budgets for sources. Sources that hash to the same slot share a budget, which bounds
/// the memory. The keyed store of governor grows with the number of sources.
const SLOTS: usize = 4096;
/// Size of a burst, in seconds' worth of refusals.
const BURST_SECONDS: u32 = 5;

type Budget<C> = RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// Budgets of refusals.
pub struct FailureLimits<C: Clock = DefaultClock> {
    all: Budget<C>,
    sources: Vec<Budget<C>>,
    place: RandomState,
    clock: C,
}

impl FailureLimits {
    /// Creates budgets of this many refusals per second, per source and for all sources.
    #[must_use]
    pub fn new(per_source: u32, for_all: u32) -> Self {
        Self::with_clock(per_source, for_all, DefaultClock::default())
    }
}

impl<C: Clock + Clone> FailureLimits<C> {
    /// Creates budgets with the given clock.
    #[must_use]
    pub fn with_clock(per_source: u32, for_all: u32, clock: C) -> Self {
        let budget = |per_second| RateLimiter::direct_with_clock(quota(per_second), clock.clone());
        Self {
            all: budget(for_all),
            sources: (0..SLOTS).map(|_| budget(per_source)).collect(),
            place: RandomState::new(),
            clock,
        }
    }

    /// Charges one refusal to the budgets of the source.
    ///
    /// # Errors
    /// A budget is used up: how long to wait.
    pub fn take(&self, source: IpAddr) -> Result<(), Duration> {
        let now = self.clock.now();
        let wait = |until: governor::NotUntil<C::Instant>| until.wait_time_from(now);
        if let Some(budget) = self.sources.get(self.slot(source)) {
            budget.check().map_err(wait)?;
        }
        self.all.check().map_err(wait)
    }

    fn slot(&self, source: IpAddr) -> usize {
        let hash = self.place.hash_one(Source::of(source));
        usize::try_from(hash % SLOTS as u64).unwrap_or_default()
    }
}

impl<C: Clock + Clone> std::fmt::Debug for FailureLimits<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FailureLimits")
    }
}

fn quota(per_second: u32) -> Quota {
    let per_second = NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
    let burst = NonZeroU32::new(BURST_SECONDS).unwrap_or(NonZeroU32::MIN);
    Quota::per_second(per_second).allow_burst(per_second.saturating_mul(burst))
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn source(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_gets_its_burst_then_waits_and_others_are_not_concerned() {
        let clock = FakeRelativeClock::default();
        let limits = FailureLimits::with_clock(2, 1000, clock.clone());
        let first = source("192.0.2.1");
        let mut others = (2..=255).map(|n| source(&format!("192.0.2.{n}")));
        let other = others.find(|&other| limits.slot(other) != limits.slot(first));
        let mut taken = 0;
        while limits.take(first).is_ok() {
            taken += 1;
        }
        assert_eq!(taken, 2 * BURST_SECONDS);
        assert_eq!(limits.take(first), Err(Duration::from_millis(500)));
        assert_eq!(limits.take(other.unwrap()), Ok(()));
        clock.advance(Duration::from_millis(500));
        assert_eq!(limits.take(first), Ok(()));
    }

    #[test]
    fn many_sources_share_the_budget_of_all() {
        let limits = FailureLimits::with_clock(10, 20, FakeRelativeClock::default());
        let sources = (0..=255).map(|n| source(&format!("198.51.100.{n}")));
        let taken = sources
            .filter(|&source| limits.take(source).is_ok())
            .count();
        assert_eq!(taken, 20 * BURST_SECONDS as usize);
    }
}
