//! How many keys are in each phase.

use std::ops::AddAssign;

use apikey_api::Phase;

/// Keys in each phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhaseCounts {
    /// Without a secret yet.
    pub pending: i64,
    /// With a secret, not expired.
    pub active: i64,
    /// Expired.
    pub expired: i64,
}

impl AddAssign for PhaseCounts {
    fn add_assign(&mut self, other: Self) {
        self.pending += other.pending;
        self.active += other.active;
        self.expired += other.expired;
    }
}

impl PhaseCounts {
    /// The number of keys in this phase.
    pub(super) const fn of_phase(&mut self, phase: Phase) -> &mut i64 {
        match phase {
            Phase::Pending => &mut self.pending,
            Phase::Active => &mut self.active,
            Phase::Expired => &mut self.expired,
        }
    }
}
