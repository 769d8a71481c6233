//! The number of keys in each phase.

use std::ops::AddAssign;

use apikey_api::Phase;

/// Number of keys in each phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhaseCounts {
    /// Keys without a secret.
    pub pending: i64,
    /// Keys with a secret that have not expired.
    pub active: i64,
    /// Expired keys.
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
