//! Which faults there are: every call of every story with every kind, and pairs of them. Pure.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use super::stories::Story;
use crate::support::{Call, Damage, Fault, Harm, Kind, Moment, Object, Passing, Sort, Until, Verb};

/// The calls of stories in which nothing goes wrong.
pub(super) type Calls = BTreeMap<Story, Vec<Call>>;

/// A key with its faults.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) story: Story,
    pub(super) faults: Vec<Fault>,
    pub(super) name: String,
}

impl Case {
    /// A case; the label makes its name one that no other case has.
    pub(super) fn new(story: Story, faults: Vec<Fault>, label: &str) -> Self {
        let name = format!("{story:?}-{label}").to_lowercase();
        Self {
            story,
            faults,
            name,
        }
    }

    /// Where the key can't be read.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the two kinds that make a key unreadable"
    )]
    pub(super) fn unreadable(&self) -> Option<Unreadable> {
        self.faults.iter().find_map(|fault| match fault.kind {
            Kind::Undecodable(Damage::Needed) => Some(Unreadable::Event),
            Kind::UndecodableItem(Damage::Needed) => Some(Unreadable::Item),
            _ => None,
        })
    }

    /// Whether it has watches end, which others feel, or events come late, which those after them do.
    pub(super) fn is_felt_by_others(&self) -> [bool; 2] {
        let any = |is_such: fn(&Fault) -> bool| self.faults.iter().any(is_such);
        [any(ends_watches), any(holds_up)]
    }
}

/// Whether the watches of all keys list anew.
#[expect(clippy::wildcard_enum_match_arm, reason = "the kinds that end watches")]
const fn ends_watches(fault: &Fault) -> bool {
    match fault.kind {
        Kind::Gone | Kind::Events(Passing::Reordered) => true,
        Kind::UndecodableItem(_) => !matches!(fault.moment, Moment::Begin),
        _ => false,
    }
}

/// Whether the events of other keys are late as well.
const fn holds_up(fault: &Fault) -> bool {
    matches!(fault.kind, Kind::Events(Passing::Held | Passing::Lagging))
}

/// Where a key can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    Event,
    Item,
}

/// Kinds that happen to a call.
const OF_CALLS: [Kind; 11] = [
    Kind::Before(Harm::Crash),
    Kind::After(Harm::Crash),
    Kind::Before(Harm::Lost),
    Kind::After(Harm::Lost),
    Kind::Before(Harm::Silence),
    Kind::After(Harm::Silence),
    Kind::Answer(409),
    Kind::Answer(410),
    Kind::Answer(429),
    Kind::Answer(500),
    Kind::Late(Until::Overdue),
];
/// Kinds that happen to what is heard of a key.
const OF_EVENTS: [Kind; 7] = [
    Kind::Events(Passing::Held),
    Kind::Events(Passing::Lagging),
    Kind::Events(Passing::Twice),
    Kind::Events(Passing::Reordered),
    Kind::Undecodable(Damage::ManagedFields),
    Kind::Undecodable(Damage::Status),
    Kind::Undecodable(Damage::Needed),
];
/// Kinds that happen to all watches, or to what is heard of a key when they list anew.
const OF_LISTS: [Kind; 4] = [
    Kind::Gone,
    Kind::UndecodableItem(Damage::ManagedFields),
    Kind::UndecodableItem(Damage::Status),
    Kind::UndecodableItem(Damage::Needed),
];
/// Kinds that happen to the answer of a write that the watches tell of.
const OF_ANSWERS: [Kind; 2] = [Kind::Late(Until::Told), Kind::Late(Until::Gone)];
/// How many kinds there are.
pub(super) const KINDS: usize =
    OF_CALLS.len() + OF_EVENTS.len() + OF_LISTS.len() + OF_ANSWERS.len();

/// Every call of every story with every kind, once each. Nothing is heard after an Event is written, so
/// of these only the call can fail.
pub(super) fn depth_one(calls: &Calls) -> Vec<Case> {
    let all = calls.iter().flat_map(|(story, calls)| {
        let of_story = single_faults(*story, calls);
        let numbered = of_story.into_iter().enumerate();
        numbered.map(|(n, fault)| Case::new(*story, vec![fault], &format!("one-{n}")))
    });
    all.collect()
}

fn single_faults(story: Story, calls: &[Call]) -> Vec<Fault> {
    // What a list shows when the process starts is there before.
    let items = OF_LISTS.into_iter();
    let items = items.filter(|kind| *kind != Kind::Gone && story.is_prepared());
    let begin = OF_EVENTS.into_iter().chain(items).map(|kind| Fault {
        moment: Moment::Begin,
        kind,
    });
    let at_calls = calls.iter().flat_map(|call| {
        let heard = OF_EVENTS.into_iter().chain(OF_LISTS);
        let heard = heard.filter(|_| call.sort.object != Object::Event);
        let answers = OF_ANSWERS.into_iter();
        let answers = answers.filter(move |kind| may_answer_late(story, *call, *kind));
        let kinds = OF_CALLS.into_iter().chain(heard).chain(answers);
        kinds.map(|kind| Fault {
            moment: Moment::Call(*call),
            kind,
        })
    });
    begin.chain(at_calls).collect()
}

/// Whether the watches tell of what this call does, and the story has an end if somebody else removes
/// what it wrote.
fn may_answer_late(story: Story, call: Call, kind: Kind) -> bool {
    let Sort { verb, object } = call.sort;
    let is_told = verb != Verb::Read && object != Object::Event;
    let may_be_removed = match object {
        Object::ApiKey => call.nth == 1 && !story.restores(),
        Object::Delivered => story.has_secret_replaced(),
        Object::Verifier | Object::Organization | Object::Event => false,
    };
    is_told && (kind != Kind::Late(Until::Gone) || (may_be_removed && verb != Verb::Remove))
}

/// This many pairs: any single fault, and any kind at one of the calls that the story still has after it.
pub(super) fn depth_two(calls: &Calls, pairs: usize, seed: u64) -> Vec<Case> {
    let mut random = StdRng::seed_from_u64(seed);
    let stories: Vec<_> = calls.iter().collect();
    let kinds = [
        &OF_CALLS[..],
        &OF_EVENTS,
        &OF_LISTS,
        &[Kind::Late(Until::Told)],
    ]
    .concat();
    let pair = |n| {
        let (&story, calls) = *stories.choose(&mut random).unwrap();
        let singles = single_faults(story, calls);
        let first = *singles.choose(&mut random).unwrap();
        let second = Fault {
            moment: Moment::Later(random.random_range(1..=calls_from(first.moment, calls))),
            kind: *kinds.choose(&mut random).unwrap(),
        };
        Case::new(story, vec![first, second], &format!("two-{n}"))
    };
    (0..pairs).map(pair).collect()
}

/// How many calls of a story there are from this moment on.
fn calls_from(moment: Moment, calls: &[Call]) -> usize {
    let made = calls
        .iter()
        .position(|call| moment == Moment::Call(*call))
        .unwrap_or_default();
    calls.len() - made
}
