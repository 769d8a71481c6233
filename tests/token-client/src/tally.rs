//! Counts of outcomes since the last line.

use std::time::Duration;

use serde_json::{Value, json};

use crate::ask::Outcome;

/// Outcomes since the last line.
#[derive(Default)]
pub(crate) struct PhaseCounts {
    answered: u64,
    refused: u64,
    failed: u64,
    slowest: Duration,
}

impl PhaseCounts {
    pub(crate) fn count(&mut self, outcome: &Outcome, took: Duration) {
        match outcome {
            Outcome::Answered => self.answered += 1,
            Outcome::Refused(_) => self.refused += 1,
            Outcome::Failed(_) => self.failed += 1,
        }
        self.slowest = self.slowest.max(took);
    }

    pub(crate) fn line(&self, at: u64) -> Value {
        json!({
            "at": at,
            "asked": self.answered + self.refused + self.failed,
            "answered": self.answered,
            "refused": self.refused,
            "failed": self.failed,
            "slowestMicros": self.slowest.as_micros().min(u128::from(u32::MAX)),
        })
    }
}
