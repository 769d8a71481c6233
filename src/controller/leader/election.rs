//! Decides who leads, from the observed Lease and a local monotonic clock. No I/O.
//!
//! # Guarantees
//! - As long as only electors write the Lease, at most one leads at a time. A holder leads for
//!   [`RENEW_DEADLINE`] after it *sent* its last successful write. Another acquires the Lease only
//!   after it has seen no change for [`LEASE_DURATION`]. Each write replaces exactly the observed
//!   version.
//! - Whatever the Lease contains, an elector leads once nobody else changes it: after
//!   [`MAX_DURATION`], or after twice that for an elector that did not receive the last change.
//!
//! # Assumptions
//! - The clocks of two electors run at about the same rate: while one counts 15 seconds, the other
//!   counts more than 10. The time of day that they show is irrelevant, and so are the times in the
//!   Lease.
//! - No two electors have the same identity.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::record::{Change, Record, Write};

/// Others may acquire the Lease after it has not changed for this long.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);
/// A leader that has not renewed the Lease for this long stops leading.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Interval between renewals. It leaves time for two attempts.
pub const RENEW_PERIOD: Duration = Duration::from_secs(4);
/// Longest wait for a response about the Lease.
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(3);
/// A Lease expires after this time without a change, even if it states a longer duration.
pub const MAX_DURATION: Duration = Duration::from_secs(30);

/// Longest wait after a failed request of the leader.
const LEADER_RETRY: Duration = Duration::from_millis(500);
/// Longest wait after a failed request of an elector that does not lead.
const RETRY: Duration = Duration::from_secs(2);
/// Longest wait after a conflict.
const CONFLICT_RETRY: Duration = Duration::from_millis(100);

/// The known state of the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// It does not exist.
    Missing,
    /// It has this content.
    Stored(Record),
}

/// The result of an attempt to read or write the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The API server has this state.
    Known(Known),
    /// Nothing was written, because somebody else wrote first.
    Conflict,
    /// It is unknown whether anything was written.
    Failed,
}

/// The next step of an elector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// Wait until this time, or until the watch delivers a change.
    Wait(Instant),
    /// Read the Lease.
    Read,
    /// Write the Lease.
    Write(Write),
}

/// Another holder of the Lease.
#[derive(Debug)]
struct Rival {
    /// The spec of the Lease, which each renewal changes.
    spec: Box<str>,
    /// When the Lease expires, unless it changes.
    over: Instant,
}

/// A participant in the election.
#[derive(Debug)]
pub struct Elector {
    identity: Arc<str>,
    known: Option<Known>,
    rival: Option<Rival>,
    /// When the last successful write was sent, unless another holder was seen since.
    renewed: Option<Instant>,
    /// No request is sent before this time.
    not_before: Option<Instant>,
    failures: u32,
}

impl Elector {
    /// Creates an elector that knows nothing yet.
    #[must_use]
    pub fn new(identity: Arc<str>) -> Self {
        Self {
            identity,
            known: None,
            rival: None,
            renewed: None,
            not_before: None,
            failures: 0,
        }
    }

    /// Until when this elector leads without a further renewal; the time may be past. `None` if it
    /// does not lead and another may.
    #[must_use]
    pub fn leads_until(&self) -> Option<Instant> {
        self.renewed.map(|renewed| renewed + RENEW_DEADLINE)
    }

    /// Whether this elector leads.
    #[must_use]
    pub fn leads(&self, now: Instant) -> bool {
        self.leads_until().is_some_and(|until| now < until)
    }

    /// The next step.
    #[must_use]
    pub fn next(&self, now: Instant) -> NextStep {
        let due = match (self.renewed, &self.rival) {
            (Some(renewed), _) if self.leads(now) => Some(renewed + RENEW_PERIOD),
            (_, Some(rival)) => Some(rival.over),
            (_, None) => None,
        };
        match due.max(self.not_before) {
            Some(due) if now < due => NextStep::Wait(due),
            Some(_) | None => match &self.known {
                None => NextStep::Read,
                Some(known) => NextStep::Write(self.write(known)),
            },
        }
    }

    fn write(&self, known: &Known) -> Write {
        match known {
            Known::Missing => Write {
                replaces: None,
                change: Change::Acquire { transitions: 0 },
            },
            Known::Stored(record) => Write {
                replaces: Some(record.resource_version.clone()),
                change: if self.is_mine(record) {
                    Change::Renew
                } else {
                    let transitions = record.transitions.saturating_add(1);
                    Change::Acquire { transitions }
                },
            },
        }
    }

    /// Whether this version was written by this elector, as far as the holder shows.
    #[must_use]
    pub fn is_mine(&self, record: &Record) -> bool {
        record.holder.as_deref() == Some(&*self.identity)
    }

    /// Handles a state that the watch delivered. It may be outdated; in that case this elector only
    /// waits.
    pub fn seen(&mut self, known: Known, now: Instant) {
        if !self.leads(now) {
            self.take(known, now);
        }
    }

    /// Handles the result of a read.
    pub fn read(&mut self, outcome: Outcome, now: Instant) {
        match outcome {
            Outcome::Known(known) => self.take(known, now),
            Outcome::Conflict | Outcome::Failed => self.failed(now),
        }
    }

    /// Handles the result of a write that was sent at this time.
    pub fn written(&mut self, sent: Instant, outcome: Outcome, now: Instant) {
        match outcome {
            Outcome::Known(Known::Stored(record)) if self.is_mine(&record) => {
                self.known = Some(Known::Stored(record));
                self.rival = None;
                self.renewed = Some(sent);
                self.failures = 0;
                self.not_before = None;
            }
            // The Lease was deleted.
            Outcome::Known(Known::Missing) => self.take(Known::Missing, now),
            // A proxy or webhook changed what was written.
            Outcome::Known(known) => {
                self.take(known, now);
                self.pause(now, RETRY);
            }
            Outcome::Conflict => {
                self.known = None;
                self.pause(now, CONFLICT_RETRY);
            }
            Outcome::Failed => self.failed(now),
        }
    }

    fn take(&mut self, known: Known, now: Instant) {
        if let Known::Stored(record) = &known {
            match &record.holder {
                // Somebody else may have written this name, so a rival that was seen before keeps
                // its time.
                Some(_) if self.is_mine(record) => {}
                // The Lease was released.
                None => self.rival = None,
                Some(_) => {
                    self.renewed = None;
                    let is_known = |rival: &Rival| rival.spec == record.spec;
                    if !self.rival.as_ref().is_some_and(is_known) {
                        self.rival = Some(Rival {
                            spec: record.spec.clone(),
                            over: now + patience(record),
                        });
                    }
                }
            }
        }
        self.known = Some(known);
    }

    fn failed(&mut self, now: Instant) {
        self.known = None;
        let longest = if self.leads(now) { LEADER_RETRY } else { RETRY };
        self.pause(now, longest);
    }

    /// Waits between half of this time and all of it. The fraction depends on the identity, so that
    /// electors do not retry together.
    fn pause(&mut self, now: Instant, longest: Duration) {
        self.failures = self.failures.wrapping_add(1);
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(self.identity.as_bytes());
        hasher.update(&self.failures.to_le_bytes());
        let half = longest / 2;
        let part = f64::from(hasher.finalize()) / f64::from(u32::MAX);
        self.not_before = Some(now + half + half.mul_f64(part));
    }
}

/// How long the Lease must remain unchanged until its holder has lost it.
fn patience(record: &Record) -> Duration {
    let stated = record.duration.unwrap_or(LEASE_DURATION);
    stated.clamp(LEASE_DURATION, MAX_DURATION)
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
