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
pub struct Chatter(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    /// When the messages of an object no longer count: each message adds [`EVERY`].
    forgotten_at: BTreeMap<String, Instant>,
    /// Number of objects at which expired ones are removed.
    room: usize,
}

impl Chatter {
    /// Forgets all messages, because another controller may lead now.
    pub fn clear(&self) {
        *self.0.lock() = Said::default();
    }

    /// Whether another message about this object is allowed now. If so, it is counted.
    pub fn allows(&self, object: &str, now: Instant) -> bool {
        let mut said = self.0.lock();
        let Said { forgotten_at, room } = &mut *said;
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
    fn much_is_said_at_once_then_little_and_of_others_as_before() {
        let (chatter, now) = (Chatter::default(), Instant::now());
        let said = (0..1000).filter(|_| chatter.allows("loud", now)).count();
        assert_eq!(said, 30);
        assert!(chatter.allows("quiet", now));
        let later = now + EVERY;
        assert!(chatter.allows("loud", later));
        assert!(!chatter.allows("loud", later));
        let much_later = later + EVERY * BURST;
        let said = (0..1000).filter(|_| chatter.allows("loud", much_later));
        assert_eq!(said.count(), 30);
    }

    #[test]
    fn objects_of_which_nothing_was_said_lately_take_no_memory() {
        let (chatter, now) = (Chatter::default(), Instant::now());
        for n in 0..100 * u32::try_from(KNOWN).unwrap() {
            assert!(chatter.allows(&n.to_string(), now + EVERY * n));
        }
        assert!(chatter.0.lock().forgotten_at.len() <= KNOWN);
    }
}
