//! Decides when a signing key is created, signs, and is removed. Pure.
//!
//! # Guarantees
//! - A ring never has more than one key that does not sign yet. The signing key therefore changes at most
//!   once in [`PUBLISH_AHEAD`], however often the algorithm changes.
//! - A full ring gets no new key until a retired one is removed.
//!
//! # Assumptions
//! Keys are in the order in which they sign.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::Algorithm;

/// How long a key is published before it signs. This is longer than any client caches the key set.
pub const PUBLISH_AHEAD: SignedDuration = SignedDuration::from_hours(1);
/// How long a key stays published after a later key started to sign: the maximum lifetime of a token, and ten
/// minutes for clock differences.
pub const RETIRED_FOR: SignedDuration = SignedDuration::from_mins(24 * 60 + 10);
/// Maximum number of keys in a ring. A ring that rotates daily has four: next, current, and two retired keys.
pub const MAX_KEYS: usize = 8;

/// The algorithm of new keys, and how often a new key is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotationPolicy {
    /// Algorithm of new keys.
    pub algorithm: Algorithm,
    /// Number of days that a key signs.
    pub rotation_days: u16,
}

/// The next step of a rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Do nothing before this time, at which a key starts to sign, has to be removed, or has to be created.
    WaitUntil(Timestamp),
    /// Make these changes in one write.
    Change {
        /// Create a key of the configured algorithm that signs from this time.
        add: Option<Timestamp>,
        /// Remove the keys with these ids.
        remove: Vec<String>,
    },
}

/// The properties of a key that rotation needs.
pub trait Lifetime {
    /// Id of the key.
    fn kid(&self) -> &str;
    /// Signature algorithm of the key.
    fn algorithm(&self) -> Algorithm;
    /// Time from which the key signs.
    fn signs_from(&self) -> Timestamp;
}

/// Index of the key that signs at this time: the last key whose `signs_from` is not after `now`. The first
/// key signs even before its time, because a replica with a slow clock must not be left without a key. `None`
/// if there are no keys.
#[must_use]
pub fn current(keys: &[impl Lifetime], now: Timestamp) -> Option<usize> {
    let begun = keys.partition_point(|key| key.signs_from() <= now);
    (!keys.is_empty()).then_some(begun.saturating_sub(1))
}

/// Returns the next step at this time.
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

/// Time from which the newest key needs a successor. It is never before the newest key signs.
fn wanted_from(newest: &impl Lifetime, policy: RotationPolicy) -> Timestamp {
    let signs_from = newest.signs_from();
    if newest.algorithm() != policy.algorithm {
        return signs_from;
    }
    let period = SignedDuration::from_hours(24 * i64::from(policy.rotation_days));
    later(signs_from, period.saturating_sub(PUBLISH_AHEAD)).max(signs_from)
}

/// Adds a duration to a time, which is rounded up to whole seconds as they are stored.
fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    let fraction = i64::from(time.subsec_nanosecond() > 0);
    Timestamp::from_second(time.as_second() + fraction)
        .and_then(|whole| whole.checked_add(by))
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
