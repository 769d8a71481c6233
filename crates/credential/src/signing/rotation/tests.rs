//! Simulates rotation over time, with keys that consist only of their lifetime.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_800_000_000;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    kid: String,
    algorithm: Algorithm,
    signs_from: Timestamp,
}

impl Lifetime for Key {
    fn kid(&self) -> &str {
        &self.kid
    }

    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn signs_from(&self) -> Timestamp {
        self.signs_from
    }
}

/// A ring, and what its replicas have observed.
#[derive(Debug)]
struct World {
    now: i64,
    policy: RotationPolicy,
    keys: Vec<Key>,
    made: usize,
    /// Time at which each key was first published.
    published: BTreeMap<String, i64>,
    /// Time at which each key was last seen to sign.
    signed: BTreeMap<String, i64>,
}

impl World {
    fn new(algorithm: Algorithm, rotation_days: u16) -> Self {
        Self {
            now: NOW,
            policy: RotationPolicy {
                algorithm,
                rotation_days,
            },
            keys: Vec::new(),
            made: 0,
            published: BTreeMap::new(),
            signed: BTreeMap::new(),
        }
    }

    fn current(&self) -> Option<&Key> {
        self.keys.get(current(&self.keys, at(self.now))?)
    }

    /// Takes every step that is due. Returns the time of the next step, and the number of steps taken.
    fn settle(&mut self) -> (Timestamp, usize) {
        for steps in 0..4 {
            match next_step(&self.keys, at(self.now), &self.policy) {
                Step::WaitUntil(time) => return (time, steps),
                Step::Change { add, remove } => {
                    self.keys.retain(|key| !remove.contains(&key.kid));
                    if let Some(signs_from) = add {
                        let kid = format!("key-{}", self.made);
                        self.made += 1;
                        self.published.insert(kid.clone(), self.now);
                        self.keys.push(Key {
                            kid,
                            algorithm: self.policy.algorithm,
                            signs_from,
                        });
                    }
                }
            }
        }
        panic!("the steps have no end: {self:?}");
    }

    /// Lets time pass, while replicas sign with the current key.
    fn pass(&mut self, seconds: i64) {
        for key in &self.keys {
            let begins = key.signs_from.as_second().max(self.now);
            let moments = [begins, self.now, self.now + seconds];
            for moment in moments.into_iter().filter(|m| *m <= self.now + seconds) {
                let signer = &self.keys[current(&self.keys, at(moment)).unwrap()];
                let last = self.signed.entry(signer.kid.clone()).or_insert(moment);
                *last = moment.max(*last);
            }
        }
        // A key signs until just before its successor does.
        for (key, successor) in self.keys.iter().zip(self.keys.iter().skip(1)) {
            let end = successor.signs_from.as_second() - 1;
            if (self.now..=self.now + seconds).contains(&end) && key.signs_from <= at(end) {
                let last = self.signed.entry(key.kid.clone()).or_insert(end);
                *last = end.max(*last);
            }
        }
        self.now += seconds;
    }

    fn assert_sound(&self) {
        assert!(self.keys.len() <= MAX_KEYS, "too many keys: {self:?}");
        assert!(
            self.keys.is_sorted_by_key(|key| key.signs_from),
            "the order is not that of signing: {self:?}"
        );
        let next = self.keys.iter().filter(|key| key.signs_from > at(self.now));
        assert!(next.count() <= 1, "more than one next key: {self:?}");
        assert!(self.current().is_some(), "no key signs: {self:?}");
        for (kid, last) in &self.signed {
            let there = self.keys.iter().any(|key| key.kid == *kid);
            let live = self.now - last < RETIRED_FOR.as_secs();
            assert!(there || !live, "{kid} went too early: {self:?}");
        }
        for key in self.keys.iter().filter(|key| key.kid != "key-0") {
            let published = self.published[&key.kid];
            let ahead = key.signs_from.duration_since(at(published));
            assert!(ahead >= PUBLISH_AHEAD, "{key:?} was published too late");
        }
    }
}

#[test]
fn a_key_is_next_then_current_then_retired_and_then_gone() {
    let mut world = World::new(Algorithm::Es256, 90);
    assert_eq!(world.settle(), (at(NOW + 90 * DAY - HOUR), 1));
    assert_eq!(world.current().unwrap().signs_from, at(NOW));
    world.now = NOW + 90 * DAY - HOUR - 1;
    assert_eq!(world.settle().1, 0);
    world.now += 1;
    assert_eq!(world.settle(), (at(NOW + 90 * DAY), 1));
    assert_eq!(world.current().unwrap().kid, "key-0");
    world.now = NOW + 90 * DAY;
    let removal = at(NOW + 91 * DAY + 600);
    assert_eq!(world.settle(), (removal, 0));
    assert_eq!(world.current().unwrap().kid, "key-1");
    world.now = removal.as_second() - 1;
    assert_eq!((world.settle().1, world.keys.len()), (0, 2));
    world.now += 1;
    assert_eq!((world.settle().1, world.keys.len()), (1, 1));
    assert_eq!(world.current().unwrap().kid, "key-1");
}

#[test]
fn another_algorithm_signs_after_it_was_published() {
    let mut world = World::new(Algorithm::Es256, 90);
    world.settle();
    world.now += DAY;
    world.policy.algorithm = Algorithm::EdDsa;
    assert_eq!(world.settle(), (at(NOW + DAY + HOUR), 1));
    assert_eq!(world.current().unwrap().algorithm, Algorithm::Es256);
    world.now += HOUR;
    assert_eq!(world.settle().1, 0);
    assert_eq!(world.current().unwrap().algorithm, Algorithm::EdDsa);
}

#[test]
fn an_algorithm_changed_back_waits_until_the_next_key_has_signed() {
    let mut world = World::new(Algorithm::Es256, 90);
    world.settle();
    world.policy.algorithm = Algorithm::Rs256;
    world.settle();
    world.policy.algorithm = Algorithm::Es256;
    assert_eq!(world.settle(), (at(NOW + HOUR), 0));
    world.now += HOUR;
    assert_eq!(world.settle(), (at(NOW + 2 * HOUR), 1));
    world.now += HOUR;
    world.settle();
    assert_eq!(world.current().unwrap().algorithm, Algorithm::Es256);
    assert_eq!(world.keys.len(), 3);
}

#[test]
fn a_long_standstill_is_caught_up_with_one_new_key() {
    let mut world = World::new(Algorithm::Es256, 1);
    world.settle();
    world.now += 400 * DAY;
    assert_eq!(world.settle(), (at(world.now + HOUR), 1));
    world.assert_sound();
}

#[test]
fn an_algorithm_changed_every_hour_fills_the_ring_and_no_more() {
    let mut world = World::new(Algorithm::Es256, 90);
    let mut most = 0;
    for hour in 0..72 {
        world.policy.algorithm = Algorithm::ALL[hour % 3];
        world.settle();
        world.assert_sound();
        most = most.max(world.keys.len());
        world.pass(HOUR);
    }
    assert_eq!(most, MAX_KEYS);
}

#[test]
fn a_clock_that_goes_back_changes_nothing() {
    let mut world = World::new(Algorithm::Es256, 90);
    world.settle();
    world.now -= DAY;
    assert_eq!(world.settle(), (at(NOW), 0));
    assert_eq!(world.current().unwrap().kid, "key-0");
}

#[test]
fn times_between_seconds_are_rounded_so_that_a_key_is_published_long_enough() {
    let now = Timestamp::new(NOW, 1).unwrap();
    let key = Key {
        kid: "key-0".into(),
        algorithm: Algorithm::Es256,
        signs_from: at(NOW),
    };
    let policy = RotationPolicy {
        algorithm: Algorithm::Rs256,
        rotation_days: 1,
    };
    let add = Some(at(NOW + HOUR + 1));
    let remove = Vec::new();
    assert_eq!(
        next_step(&[key], now, &policy),
        Step::Change { add, remove }
    );
}

fn algorithm() -> impl Strategy<Value = Algorithm> {
    prop::sample::select(Algorithm::ALL.to_vec())
}

/// A number of seconds until the next event: around an hour, around a day, or long.
fn pause() -> impl Strategy<Value = i64> {
    prop_oneof![5 => 0..3 * HOUR, 1 => 23 * HOUR..26 * HOUR, 1 => 0..200 * DAY]
}

proptest! {
    #[test]
    fn whatever_happens_a_key_signs_was_published_before_and_stays_while_its_tokens_live(
        first in algorithm(),
        days in 1..200_u16,
        happenings in prop::collection::vec((pause(), prop::option::weighted(0.7, algorithm())), 1..60),
    ) {
        let mut world = World::new(first, days);
        world.settle();
        world.assert_sound();
        for (seconds, change) in happenings {
            world.pass(seconds);
            world.assert_sound();
            world.policy.algorithm = change.unwrap_or(world.policy.algorithm);
            let (until, _) = world.settle();
            prop_assert!(until > at(world.now), "a step is due at once: {world:?}");
            world.assert_sound();
        }
        // After the policy stops changing, the configured algorithm signs and the ring is small.
        for _ in 0..4 * MAX_KEYS {
            let (until, steps) = world.settle();
            prop_assert!(steps <= 1);
            if until > at(world.now + 2 * DAY) {
                break;
            }
            let seconds = until.as_second() - world.now;
            world.pass(seconds);
            world.assert_sound();
        }
        world.settle();
        prop_assert_eq!(world.current().unwrap().algorithm, world.policy.algorithm);
        prop_assert!(world.keys.len() <= 4, "{:?}", world);
    }
}
