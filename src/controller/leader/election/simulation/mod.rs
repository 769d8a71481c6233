//! Simulated histories of two electors, with delayed and lost requests; processes that are frozen,
//! killed or restarted; clocks that run fast or slow and show any time of day; and edits of the
//! Lease by others.

mod lease;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;
use tokio::time::Instant;

use super::super::WIND_DOWN;
use super::super::record::{Change, Write};
use super::{Elector, Known, LEASE_DURATION, MAX_DURATION, NextStep, Outcome, REQUEST_DEADLINE};

/// Faults occur until this time, and none after it. Unit: milliseconds.
const QUIET: u64 = 180_000;
/// After this time one elector leads, and it alone. Until then, delayed messages arrive, a Lease of
/// the longest duration expires, and so does one whose last change was missed.
const SETTLED: u64 = QUIET + 20_000 + 30_000 + 30_000 + 30_000;
const END: u64 = SETTLED + 60_000;

/// Pseudorandom numbers, determined by the seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    fn happens(&mut self, percent: u64) -> bool {
        self.roll(100) < percent
    }
}

#[derive(Clone, Debug)]
enum Event {
    /// The process decides its next step.
    Wake { process: usize, turn: u64 },
    /// A request reaches the API server.
    Arrive {
        process: usize,
        turn: u64,
        identity: Arc<str>,
        write: Option<Write>,
    },
    /// The response reaches the process, or its deadline passes.
    Answer {
        process: usize,
        turn: u64,
        outcome: Outcome,
    },
    /// The watch of a process delivers something.
    Seen { process: usize, known: Known },
    /// Somebody edits the Lease.
    Edit,
    /// A process is killed or shuts down, and another one replaces it.
    Replace { process: usize },
    /// A process freezes.
    Freeze { process: usize },
}

#[derive(Debug)]
struct Process {
    elector: Elector,
    identity: Arc<str>,
    /// Microseconds that its clock counts in a millisecond.
    rate: u64,
    /// The event that it waits for; responses to earlier turns are too late.
    turn: u64,
    /// When its request was sent, and whether it is a write.
    asked: Option<(Instant, bool)>,
    frozen_until: u64,
}

/// The faults of a history.
#[derive(Clone, Debug)]
struct World {
    seed: u64,
    rates: [u64; 2],
    /// Requests, responses and watch events that are lost. Unit: percent.
    lost: u64,
    edits: bool,
}

struct Simulation {
    dice: Dice,
    world: World,
    epoch: Instant,
    now: u64,
    events: BTreeMap<(u64, u64), Event>,
    scheduled: u64,
    processes: [Process; 2],
    lease: Option<Value>,
    version: u64,
    names: u64,
}

impl Simulation {
    fn new(world: World) -> Self {
        let process = |index: usize| {
            let identity = Arc::<str>::from(format!("process-{index}"));
            Process {
                elector: Elector::new(Arc::clone(&identity)),
                identity,
                rate: world.rates[index],
                turn: 0,
                asked: None,
                frozen_until: 0,
            }
        };
        let mut this = Self {
            dice: Dice(world.seed),
            processes: [process(0), process(1)],
            world,
            epoch: Instant::now(),
            now: 0,
            events: BTreeMap::new(),
            scheduled: 0,
            lease: None,
            version: 1,
            names: 2,
        };
        for process in 0..2 {
            let begin = this.dice.roll(3_000);
            this.wake(process, begin);
            for _ in 0..4 {
                let (freeze, replace) = (this.dice.roll(QUIET), this.dice.roll(QUIET));
                this.schedule(freeze, Event::Freeze { process });
                if this.dice.happens(50) {
                    this.schedule(replace, Event::Replace { process });
                }
            }
        }
        if this.world.edits {
            for _ in 0..this.dice.roll(40) {
                let at = this.dice.roll(QUIET);
                this.schedule(at, Event::Edit);
            }
        }
        this
    }

    fn schedule(&mut self, at: u64, event: Event) {
        self.scheduled += 1;
        self.events.insert((at, self.scheduled), event);
    }

    /// The time that the clock of a process shows at this time.
    fn clock(&self, process: usize, at: u64) -> Instant {
        self.epoch + Duration::from_micros(at * self.processes[process].rate)
    }

    /// When the clock of a process will show this instant.
    fn time(&self, process: usize, instant: Instant) -> u64 {
        let nanos = instant.duration_since(self.epoch).as_nanos();
        let rate = self.processes[process].rate * 1000;
        u64::try_from(nanos).unwrap().div_ceil(rate)
    }

    fn wake(&mut self, process: usize, at: u64) {
        self.processes[process].turn += 1;
        let turn = self.processes[process].turn;
        self.schedule(at.max(self.now), Event::Wake { process, turn });
    }

    /// Whether work of this process may still continue.
    fn works(&self, process: usize) -> bool {
        let until = self.processes[process].elector.leads_until();
        until.is_some_and(|until| self.clock(process, self.now) < until + WIND_DOWN)
    }

    fn leads(&self, process: usize) -> bool {
        let now = self.clock(process, self.now);
        self.processes[process].elector.leads(now)
    }

    /// Delay of a message; `None` if it is lost.
    fn way(&mut self) -> Option<u64> {
        if self.now >= QUIET {
            return Some(self.dice.roll(100));
        }
        if self.dice.happens(self.world.lost) {
            return None;
        }
        let slow = self.dice.happens(self.world.lost);
        Some(self.dice.roll(if slow { 20_000 } else { 300 }))
    }

    fn act(&mut self, process: usize) {
        let now = self.clock(process, self.now);
        let write = match self.processes[process].elector.next(now) {
            NextStep::Wait(until) => {
                let at = self.time(process, until);
                return self.wake(process, at);
            }
            NextStep::Read => None,
            NextStep::Write(write) => Some(write),
        };
        self.processes[process].turn += 1;
        let turn = self.processes[process].turn;
        self.processes[process].asked = Some((now, write.is_some()));
        let deadline = self.time(process, now + REQUEST_DEADLINE);
        let outcome = Outcome::Failed;
        self.schedule(
            deadline,
            Event::Answer {
                process,
                turn,
                outcome,
            },
        );
        if let Some(way) = self.way() {
            let identity = Arc::clone(&self.processes[process].identity);
            let arrive = Event::Arrive {
                process,
                turn,
                identity,
                write,
            };
            self.schedule(self.now + way, arrive);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Edit => self.edit(),
            Event::Arrive {
                process,
                turn,
                identity,
                write,
            } => {
                let outcome = match &write {
                    None => Outcome::Known(self.stored()),
                    Some(write) => self.write(&identity, write),
                };
                if let Some(way) = self.way() {
                    let answer = Event::Answer {
                        process,
                        turn,
                        outcome,
                    };
                    self.schedule(self.now + way, answer);
                }
            }
            Event::Freeze { process } => {
                self.processes[process].frozen_until = self.now + self.dice.roll(30_000);
            }
            Event::Replace { process } => self.replace(process),
            Event::Wake { process, .. }
            | Event::Answer { process, .. }
            | Event::Seen { process, .. }
                if self.now < self.processes[process].frozen_until =>
            {
                self.schedule(self.processes[process].frozen_until, event);
            }
            Event::Wake { process, turn } => {
                if turn == self.processes[process].turn {
                    self.act(process);
                }
            }
            Event::Answer {
                process,
                turn,
                outcome,
            } => {
                let now = self.clock(process, self.now);
                let Process {
                    elector,
                    asked,
                    turn: waits_for,
                    ..
                } = &mut self.processes[process];
                if turn != *waits_for {
                    return;
                }
                match asked.take() {
                    Some((sent, true)) => elector.written(sent, outcome, now),
                    Some((_, false)) => elector.read(outcome, now),
                    None => return,
                }
                self.act(process);
            }
            Event::Seen { process, known } => {
                let now = self.clock(process, self.now);
                if self.processes[process].asked.is_none() {
                    self.processes[process].elector.seen(known, now);
                    self.act(process);
                }
            }
        }
    }

    fn replace(&mut self, process: usize) {
        let (stored, is_orderly) = (self.stored(), self.dice.happens(50));
        if let Known::Stored(record) = stored
            && is_orderly
            && self.processes[process].elector.is_mine(&record)
        {
            let write = Write {
                replaces: Some(record.resource_version),
                change: Change::Release,
            };
            let own = Arc::clone(&self.processes[process].identity);
            let _ = self.write(&own, &write);
        }
        let identity = Arc::<str>::from(format!("process-{}", self.names));
        self.names += 1;
        self.processes[process].elector = Elector::new(Arc::clone(&identity));
        self.processes[process].identity = identity;
        self.processes[process].asked = None;
        let begin = self.now + self.dice.roll(3_000);
        self.wake(process, begin);
    }

    /// Runs the history; returns who leads in the end, or what went wrong.
    fn run(mut self) -> Result<usize, TestCaseError> {
        let mut leader = None;
        while let Some(((at, _), event)) = self.events.pop_first() {
            if at > END {
                break;
            }
            self.now = at;
            self.happen(event);
            if !self.world.edits || self.now >= SETTLED {
                let both = self.works(0) && self.works(1);
                prop_assert!(!both, "two lead at {at} ms");
            }
            if self.now >= SETTLED {
                let leads = (0..2).find(|process| self.leads(*process));
                prop_assert!(leads.is_some(), "nobody leads at {at} ms: {:?}", self.lease);
                let first = *leader.get_or_insert(leads);
                prop_assert_eq!(first, leads, "the leader changed at {} ms", at);
            }
        }
        leader
            .flatten()
            .ok_or_else(|| TestCaseError::fail("nothing happened"))
    }
}

fn worlds(edits: bool) -> impl Strategy<Value = World> {
    // One clock may run up to 4 % faster than the other.
    let rates = [980..=1020_u64, 980..=1020_u64];
    (any::<u64>(), rates, 0..60_u64).prop_map(move |(seed, rates, lost)| World {
        seed,
        rates,
        lost,
        edits,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn as_long_as_nobody_else_writes_two_never_lead_and_later_one_does(world in worlds(false)) {
        Simulation::new(world).run()?;
    }

    #[test]
    fn whatever_somebody_wrote_one_leads_once_they_stop(world in worlds(true)) {
        Simulation::new(world).run()?;
    }
}

#[test]
fn the_time_to_settle_is_that_of_the_longest_lease_twice() {
    assert!(Duration::from_millis(SETTLED - QUIET) > 2 * MAX_DURATION + LEASE_DURATION);
}
