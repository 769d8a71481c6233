//! Counts consecutive failures, and decides how long to wait after each.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::runtime::reflector::Lookup;
use parking_lot::Mutex;

use apikey_client::error::Class;

/// Counts consecutive failures of one class, for exponential backoff.
#[derive(Debug, Default)]
pub struct Failures(Mutex<BTreeMap<String, Row>>);

/// Consecutive failures of an object.
#[derive(Debug)]
struct Row {
    /// [`Class::as_str`].
    class: &'static str,
    count: u32,
}

/// Longest wait after a failure that may end unnoticed, such as a policy that somebody removes.
const RECOVERED_WITHIN: Duration = Duration::from_secs(25);
/// The wait after the first failure, and the longest wait.
const TRANSIENT_WAIT: (Duration, Duration) = (Duration::from_millis(200), RECOVERED_WITHIN);
const CONFLICT_WAIT: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(5));
const REFUSED_WAIT: (Duration, Duration) = (Duration::from_secs(2), RECOVERED_WITHIN);
const BUG_WAIT: (Duration, Duration) = (Duration::from_secs(10), Duration::from_mins(10));

/// Identifies an object in [`Failures`] and [`super::message_limits::MessageLimits`].
#[must_use]
pub fn object_key<K: Lookup<DynamicType = ()>>(namespace: Option<&str>, name: &str) -> String {
    let namespace = namespace.unwrap_or_default();
    format!("{}/{namespace}/{name}", K::kind(&()))
}

impl Failures {
    /// Forgets all failures, because another controller may lead now.
    pub fn clear_all(&self) {
        self.0.lock().clear();
    }

    /// Forgets the failures of an object.
    pub fn clear(&self, object: &str) {
        self.0.lock().remove(object);
    }

    /// Counts a failure and returns how long to wait.
    pub fn wait(&self, object: &str, class: Class) -> Duration {
        let (first, most) = match class {
            Class::Throttled(asked) => (asked, asked.max(TRANSIENT_WAIT.1)),
            Class::Conflict => CONFLICT_WAIT,
            Class::Transient => TRANSIENT_WAIT,
            Class::Forbidden | Class::Rejected => REFUSED_WAIT,
            Class::Bug => BUG_WAIT,
        };
        let mut failures = self.0.lock();
        let word = class.as_str();
        let before = failures.get(object).filter(|row| row.class == word);
        let count = before.map_or(0, |row| row.count);
        let row = Row {
            class: word,
            count: count.saturating_add(1),
        };
        failures.insert(object.to_owned(), row);
        let grown = first.saturating_mul(1 << count.min(16)).min(most);
        // Spread by name, so that a thousand objects that fail together do not retry together.
        let spread = u64::from(crc32fast::hash(object.as_bytes())) % 256;
        let spread = u32::try_from(spread).unwrap_or_default();
        let spread = grown * spread / 1024;
        if matches!(class, Class::Throttled(_)) {
            // Never before the time for which the server asked.
            grown.saturating_add(spread)
        } else {
            grown.saturating_sub(spread)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_are_forgotten_after_success() {
        let failures = Failures::default();
        let waits: Vec<_> = (0..30)
            .map(|_| failures.wait("a", Class::Transient))
            .collect();
        assert!(waits.is_sorted() && waits[29] <= TRANSIENT_WAIT.1 && waits[29] > waits[0] * 100);
        failures.clear("a");
        assert_eq!(failures.wait("a", Class::Transient), waits[0]);
        let asked = Duration::from_secs(90);
        for object in ["a", "b", "c", "d"] {
            assert!(failures.wait(object, Class::Throttled(asked)) >= asked);
        }
    }

    #[test]
    fn whatever_refuses_a_write_it_is_tried_again_within_half_a_minute() {
        for class in [Class::Rejected, Class::Forbidden, Class::Transient] {
            let failures = Failures::default();
            let waits = (0..100).map(|_| failures.wait("a", class));
            assert!(waits.max() <= Some(RECOVERED_WITHIN), "{class:?}");
        }
    }

    #[test]
    fn a_refusal_by_an_api_server_that_is_just_back_waits_no_longer_than_a_first_one() {
        let failures = Failures::default();
        let first = failures.wait("a", Class::Forbidden);
        failures.clear("a");
        for _ in 0..10 {
            failures.wait("a", Class::Transient);
        }
        assert_eq!(failures.wait("a", Class::Forbidden), first);
        assert!(failures.wait("a", Class::Forbidden) > first);
    }
}
