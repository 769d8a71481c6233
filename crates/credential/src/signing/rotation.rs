//! When a signing key is made, signs, and goes. Pure.
//!
//! Keys are looked at in the order in which they sign. A ring never holds more than one that is
//! still to sign, so two takeovers are at least [`PUBLISH_AHEAD`] apart, however often the algorithm
//! is changed; and a full ring waits for a retired key to go before it takes a new one.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::Algorithm;

/// How long a key is published before it signs: longer than anybody keeps a published set.
pub const PUBLISH_AHEAD: SignedDuration = SignedDuration::from_hours(1);
/// How long a key stays published after a later one took over: the longest life of a token, and ten
/// minutes for clocks that disagree.
pub const RETIRED_FOR: SignedDuration = SignedDuration::from_mins(24 * 60 + 10);
/// Most keys in a ring. One that rotates daily has four: next, current, and two that are retired.
pub const MAX_KEYS: usize = 8;

/// What new keys are, and when there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotationPolicy {
    /// Algorithm of new keys.
    pub algorithm: Algorithm,
    /// Days that a key signs.
    pub rotation_days: u16,
}

/// What has to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing before this time, at which a key takes over, goes, or has to be made.
    WaitUntil(Timestamp),
    /// These changes, at once and in one write.
    Change {
        /// Make a key of the wanted algorithm that signs from this time.
        add: Option<Timestamp>,
        /// Remove the keys with these ids.
        remove: Vec<String>,
    },
}

/// What rotation needs to know of a key.
pub trait Lifetime {
    /// Its id.
    fn kid(&self) -> &str;
    /// What it signs with.
    fn algorithm(&self) -> Algorithm;
    /// From when it signs.
    fn signs_from(&self) -> Timestamp;
}

/// Place of the key that signs at this time: the last that signs from then or earlier. A clock that
/// is behind that of the maker of the very first key must not leave a replica without one, so that
/// key signs even before its time. `None` for no keys.
#[must_use]
pub fn current(keys: &[impl Lifetime], now: Timestamp) -> Option<usize> {
    let begun = keys.partition_point(|key| key.signs_from() <= now);
    (!keys.is_empty()).then_some(begun.saturating_sub(1))
}

/// What has to be done at this time with keys in the order in which they sign.
#[must_use]
pub fn next_step(keys: &[impl Lifetime], now: Timestamp, policy: &RotationPolicy) -> Step {
    let Some(newest) = keys.last() else {
        return Step::Change {
            add: Some(now),
            remove: Vec::new(),
        };
    };
    let gone_at = |successor: &_| later(Lifetime::signs_from(successor), RETIRED_FOR);
    let remove: Vec<_> = keys
        .iter()
        .zip(keys.iter().skip(1))
        .filter(|(_, successor)| gone_at(*successor) <= now)
        .map(|(key, _)| key.kid().to_owned())
        .collect();
    let wanted_from = wanted_from(newest, *policy);
    let has_room = keys.len() - remove.len() < MAX_KEYS;
    let add = (wanted_from <= now && has_room).then(|| later(now, PUBLISH_AHEAD));
    if add.is_some() || !remove.is_empty() {
        return Step::Change { add, remove };
    }
    let takeovers = keys.iter().map(Lifetime::signs_from);
    let removals = keys.iter().skip(1).map(gone_at);
    let next = takeovers
        .chain(removals)
        .chain([wanted_from])
        .filter(|time| *time > now)
        .min();
    Step::WaitUntil(next.unwrap_or(Timestamp::MAX))
}

/// From when a successor of the newest key is wanted: never before that one signs itself.
fn wanted_from(newest: &impl Lifetime, policy: RotationPolicy) -> Timestamp {
    let signs_from = newest.signs_from();
    if newest.algorithm() != policy.algorithm {
        return signs_from;
    }
    let period = SignedDuration::from_hours(24 * i64::from(policy.rotation_days));
    later(signs_from, period.saturating_sub(PUBLISH_AHEAD)).max(signs_from)
}

/// The time so much later, rounded up to what is stored: whole seconds.
fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    let fraction = i64::from(time.subsec_nanosecond() > 0);
    Timestamp::from_second(time.as_second() + fraction)
        .and_then(|whole| whole.checked_add(by))
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
