//! Who leads, decided from what is seen of the Lease and from a clock of one's own that only moves
//! forward. No I/O.
//!
//! # Guarantees
//! - As long as only electors write the Lease, at most one leads at a time: a holder leads for
//!   [`RENEW_DEADLINE`] after it *sent* its last successful write; another takes over once it has seen
//!   no change for [`LEASE_DURATION`]. Each write replaces exactly the version that was seen.
//! - Whatever stands in the Lease, somebody leads once nobody else changes it: after [`MAX_DURATION`], or
//!   twice that for one that did not hear of the last change.
//!
//! # Assumptions
//! - The clocks of two electors run at about the same rate: while one counts 15 seconds, the other
//!   counts more than 10. What time of day they show doesn't matter, nor what stands in the Lease as one.
//! - No two electors have the same identity.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::record::{Change, Record, Write};

/// Others take over after they have seen no sign of life for so long.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);
/// A leader that has not renewed the Lease for so long leads no more.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Time from one renewal to the next. It leaves time for two attempts.
pub const RENEW_PERIOD: Duration = Duration::from_secs(4);
/// Longest wait for an answer about the Lease.
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(3);
/// However long a Lease is to last by what stands in it, it is over after this time without a change.
pub const MAX_DURATION: Duration = Duration::from_secs(30);

/// Longest wait after a request of the leader failed.
const LEADER_RETRY: Duration = Duration::from_millis(500);
/// Longest wait after a request of another failed.
const RETRY: Duration = Duration::from_secs(2);
/// Longest wait after somebody else wrote first.
const CONFLICT_RETRY: Duration = Duration::from_millis(100);

/// What is known of the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// There is none.
    Missing,
    /// It is this.
    Stored(Record),
}

/// What an attempt to read or to write the Lease led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// This is in the API server.
    Known(Known),
    /// Nothing was written, for somebody else wrote first.
    Conflict,
    /// It is not known whether anything was written.
    Failed,
}

/// What an elector has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing until this time, or until something is seen.
    Wait(Instant),
    /// Read the Lease.
    Read,
    /// Write it.
    Write(Write),
}

/// Somebody else who holds the Lease.
#[derive(Debug)]
struct Rival {
    /// The spec of the Lease, which each renewal changes.
    spec: Box<str>,
    /// When the Lease is over unless it changes.
    over: Instant,
}

/// One who stands for election.
#[derive(Debug)]
pub struct Elector {
    identity: Arc<str>,
    known: Option<Known>,
    rival: Option<Rival>,
    /// When the last successful write was sent, if nobody else was seen to hold the Lease since.
    renewed: Option<Instant>,
    /// Nothing is asked for before this time.
    not_before: Option<Instant>,
    failures: u32,
}

impl Elector {
    /// Somebody who knows nothing yet.
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

    /// Until when this one leads, if nothing new comes; it may be over. `None`: it does not lead, and
    /// another may.
    #[must_use]
    pub fn leads_until(&self) -> Option<Instant> {
        self.renewed.map(|renewed| renewed + RENEW_DEADLINE)
    }

    /// Whether this one leads.
    #[must_use]
    pub fn leads(&self, now: Instant) -> bool {
        self.leads_until().is_some_and(|until| now < until)
    }

    /// What is to be done now.
    #[must_use]
    pub fn next(&self, now: Instant) -> Step {
        let due = match (self.renewed, &self.rival) {
            (Some(renewed), _) if self.leads(now) => Some(renewed + RENEW_PERIOD),
            (_, Some(rival)) => Some(rival.over),
            (_, None) => None,
        };
        match due.max(self.not_before) {
            Some(due) if now < due => Step::Wait(due),
            Some(_) | None => match &self.known {
                None => Step::Read,
                Some(known) => Step::Write(self.write(known)),
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

    /// Whether this version is one that this elector wrote, as far as can be seen.
    #[must_use]
    pub fn is_mine(&self, record: &Record) -> bool {
        record.holder.as_deref() == Some(&*self.identity)
    }

    /// Takes in what a watch told. It may be old: then it only makes this one wait.
    pub fn seen(&mut self, known: Known, now: Instant) {
        if !self.leads(now) {
            self.take(known, now);
        }
    }

    /// Takes in what a reading led to.
    pub fn read(&mut self, outcome: Outcome, now: Instant) {
        match outcome {
            Outcome::Known(known) => self.take(known, now),
            Outcome::Conflict | Outcome::Failed => self.failed(now),
        }
    }

    /// Takes in what a write led to that was sent at this time.
    pub fn written(&mut self, sent: Instant, outcome: Outcome, now: Instant) {
        match outcome {
            Outcome::Known(Known::Stored(record)) if self.is_mine(&record) => {
                self.known = Some(Known::Stored(record));
                self.rival = None;
                self.renewed = Some(sent);
                self.failures = 0;
                self.not_before = None;
            }
            // It is not there any more.
            Outcome::Known(Known::Missing) => self.take(Known::Missing, now),
            // Somebody on the way wrote something else.
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
                // Somebody else could have written this name, so a rival that was seen before has its time.
                Some(_) if self.is_mine(record) => {}
                // It was given back.
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

    /// Waits between half of this time and all of it, others otherwise than this one.
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

/// How long the Lease has to stay as it is until its holder has lost it.
fn patience(record: &Record) -> Duration {
    let stated = record.duration.unwrap_or(LEASE_DURATION);
    stated.clamp(LEASE_DURATION, MAX_DURATION)
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
