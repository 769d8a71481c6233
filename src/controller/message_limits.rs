//! Limits logs and Events per object, so that an object that changes constantly fills neither. The
//! audit log and the status are complete.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Messages allowed at once, after a time of silence.
const BURST: u32 = 30;
/// Afterwards, one message is allowed in this time.
const EVERY: Duration = Duration::from_secs(10);
/// Number of objects that are tracked before any is removed.
const KNOWN: usize = 1024;

/// Recent messages, by object.
#[derive(Debug, Default)]
pub struct MessageLimits(Mutex<Recent>);

#[derive(Debug, Default)]
struct Recent {
    /// When the messages of an object no longer count: each message adds [`EVERY`].
    forgotten_at: BTreeMap<String, Instant>,
    /// Number of objects at which expired ones are removed.
    room: usize,
}

impl MessageLimits {
    /// Forgets all messages, because another controller may lead now.
    pub fn clear(&self) {
        *self.0.lock() = Recent::default();
    }

    /// Whether another message about this object is allowed now. If so, it is counted.
    pub fn allows(&self, object: &str, now: Instant) -> bool {
        let mut recent = self.0.lock();
        let Recent { forgotten_at, room } = &mut *recent;
        if forgotten_at.len() >= *room {
            forgotten_at.retain(|_, at| *at > now);
            *room = KNOWN.max(2 * forgotten_at.len());
        }
        let known = forgotten_at.get(object).copied().unwrap_or(now);
        let next = known.max(now) + EVERY;
        let allows = next <= now + EVERY * BURST;
        if allows {
            forgotten_at.insert(object.to_owned(), next);
        }
        allows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_messages_is_allowed_then_few_and_about_others_as_before() {
        let (limits, now) = (MessageLimits::default(), Instant::now());
        let allowed = (0..1000).filter(|_| limits.allows("loud", now)).count();
        assert_eq!(allowed, 30);
        assert!(limits.allows("quiet", now));
        let later = now + EVERY;
        assert!(limits.allows("loud", later));
        assert!(!limits.allows("loud", later));
        let much_later = later + EVERY * BURST;
        let allowed = (0..1000).filter(|_| limits.allows("loud", much_later));
        assert_eq!(allowed.count(), 30);
    }

    #[test]
    fn objects_without_recent_messages_take_no_memory() {
        let (limits, now) = (MessageLimits::default(), Instant::now());
        for n in 0..100 * u32::try_from(KNOWN).unwrap() {
            assert!(limits.allows(&n.to_string(), now + EVERY * n));
        }
        assert!(limits.0.lock().forgotten_at.len() <= KNOWN);
    }
}
