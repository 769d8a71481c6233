//! Enumerates the faults: every call of every scenario with every kind, and pairs of them. Pure.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use super::scenarios::Scenario;
use crate::support::{Call, Fault, Harm, Kind, Moment, Object, Passing};

/// The calls of scenarios in which nothing goes wrong.
pub(super) type Calls = BTreeMap<Scenario, Vec<Call>>;

/// A key with its faults.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) scenario: Scenario,
    pub(super) faults: Vec<Fault>,
    pub(super) name: String,
}

impl Case {
    /// A case. The label makes its name unique.
    pub(super) fn new(scenario: Scenario, faults: Vec<Fault>, label: &str) -> Self {
        let name = format!("{scenario:?}-{label}").to_lowercase();
        Self {
            scenario,
            faults,
            name,
        }
    }

    /// Whether one of its faults makes it unreadable.
    pub(super) fn is_damaged(&self) -> bool {
        let mut kinds = self.faults.iter().map(|fault| fault.kind);
        kinds.any(|kind| kind == Kind::Events(Passing::Damaged))
    }
}

/// Kinds that happen to a call.
const OF_CALLS: [Kind; 11] = [
    Kind::Before(Harm::Crash),
    Kind::After(Harm::Crash),
    Kind::Before(Harm::Lost),
    Kind::After(Harm::Lost),
    Kind::Before(Harm::Silence),
    Kind::After(Harm::Silence),
    Kind::After(Harm::Late),
    Kind::Answer(409),
    Kind::Answer(410),
    Kind::Answer(429),
    Kind::Answer(500),
];
/// Kinds that happen to the watch events of a key.
const OF_EVENTS: [Kind; 5] = [
    Kind::Events(Passing::Held),
    Kind::Events(Passing::Lagging),
    Kind::Events(Passing::Twice),
    Kind::Events(Passing::Reordered),
    Kind::Events(Passing::Damaged),
];

/// How many kinds there are.
pub(super) const KINDS: usize = OF_CALLS.len() + OF_EVENTS.len() + 1;

/// Every call of every scenario with every kind. No watch event follows the write of an Event, so such a call gets
/// only the kinds of calls.
pub(super) fn depth_one(calls: &Calls) -> Vec<Case> {
    let all = calls.iter().flat_map(|(scenario, calls)| {
        let of_scenario = single_faults(calls);
        let numbered = of_scenario.into_iter().enumerate();
        numbered.map(|(n, fault)| Case::new(*scenario, vec![fault], &format!("one-{n}")))
    });
    all.collect()
}

fn single_faults(calls: &[Call]) -> Vec<Fault> {
    let begin = OF_EVENTS.map(|kind| Fault {
        moment: Moment::Begin,
        kind,
    });
    let at_calls = calls.iter().flat_map(|call| {
        let kinds = OF_EVENTS.into_iter().chain([Kind::Gone]);
        let kinds = kinds.filter(|_| call.sort.object != Object::Event);
        OF_CALLS.into_iter().chain(kinds).map(|kind| Fault {
            moment: Moment::Call(*call),
            kind,
        })
    });
    begin.into_iter().chain(at_calls).collect()
}

/// This many random pairs: a single fault, and any kind at one of the later calls of the scenario.
pub(super) fn depth_two(calls: &Calls, pairs: usize, seed: u64) -> Vec<Case> {
    let mut random = StdRng::seed_from_u64(seed);
    let scenarios: Vec<_> = calls.iter().collect();
    let kinds = [&OF_CALLS[..], &OF_EVENTS, &[Kind::Gone]].concat();
    let pair = |n| {
        let (scenario, calls) = *scenarios.choose(&mut random).unwrap();
        let first = *single_faults(calls).choose(&mut random).unwrap();
        let second = Fault {
            moment: Moment::Later(random.random_range(1..=calls_from(first.moment, calls))),
            kind: *kinds.choose(&mut random).unwrap(),
        };
        Case::new(*scenario, vec![first, second], &format!("two-{n}"))
    };
    (0..pairs).map(pair).collect()
}

/// How many calls of a scenario there are from this moment on.
fn calls_from(moment: Moment, calls: &[Call]) -> usize {
    let made = calls
        .iter()
        .position(|call| moment == Moment::Call(*call))
        .unwrap_or_default();
    calls.len() - made
}
