//! The slow path: argon2id decides, on a bounded pool, once per secret however many ask.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::verify::Undecided;
use crate::credential::Hasher;

/// Longest wait for a decision.
pub const DEADLINE: Duration = Duration::from_secs(5);
/// Decisions that may run or wait, per thread of the pool: what it can do well within [`DEADLINE`].
const PER_THREAD: usize = 32;

/// The decision: the place of the proof that is right, if one is.
type Decision = Option<usize>;
type Flights = BTreeMap<[u8; 32], watch::Receiver<Option<Decision>>>;

/// Too much to decide.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many checks are waiting")]
pub struct Overloaded;

/// Decides by argon2id.
#[derive(Debug)]
pub struct Argon2Path {
    hasher: Arc<Hasher>,
    flights: Arc<Mutex<Flights>>,
    capacity: usize,
}

impl Argon2Path {
    /// Decisions by this hasher, which has this many threads.
    #[must_use]
    pub fn new(hasher: Hasher, threads: usize) -> Self {
        Self {
            hasher: Arc::new(hasher),
            flights: Arc::default(),
            capacity: threads.saturating_mul(PER_THREAD),
        }
    }

    /// Decisions that run or wait.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.flights.lock().len()
    }

    /// Decides about a secret. Callers with the same secret share one decision; it goes on when they
    /// leave, unless it has not begun.
    ///
    /// # Errors
    /// [`Overloaded`] if too many wait, or this took too long.
    pub async fn decide(&self, question: &Undecided) -> Result<Decision, Overloaded> {
        let mut decision = self.flight(question)?;
        let decided = decision.wait_for(Option::is_some);
        match tokio::time::timeout(DEADLINE, decided).await {
            Ok(Ok(decided)) => Ok(decided.flatten()),
            // The deadline, or a thread that was stopped.
            Ok(Err(_)) | Err(_) => Err(Overloaded),
        }
    }

    fn flight(
        &self,
        question: &Undecided,
    ) -> Result<watch::Receiver<Option<Decision>>, Overloaded> {
        let mut flights = self.flights.lock();
        if let Some(flight) = flights.get(&question.tag) {
            return Ok(flight.clone());
        }
        if flights.len() >= self.capacity {
            return Err(Overloaded);
        }
        let (decide, decision) = watch::channel(None);
        flights.insert(question.tag, decision.clone());
        let (hasher, flights) = (Arc::clone(&self.hasher), Arc::clone(&self.flights));
        let (tag, secret) = (question.tag, question.secret.clone());
        let candidates = question.hashes.clone();
        tokio::spawn(async move {
            let mut place = None;
            for (candidate, hash) in candidates {
                // The map holds one receiver; without another one nobody waits any more.
                if decide.receiver_count() <= 1 {
                    break;
                }
                match hasher.verify(secret.clone(), hash).await {
                    Ok(true) => {
                        place = Some(candidate);
                        break;
                    }
                    Ok(false) => {}
                    Err(error) => tracing::error!(key_id = %secret.key_id(), %error,
                        "A stored hash can't be used"),
                }
            }
            flights.lock().remove(&tag);
            decide.send_replace(Some(place));
        });
        Ok(decision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::{Argon2Cost, KeyId, Secret, hash};

    const CHEAP: Argon2Cost = Argon2Cost {
        memory_kib: 8,
        iterations: 1,
    };

    fn question(n: u8, hashes: &[u8]) -> Undecided {
        let secret = |n| Secret::from_entropy(&KeyId::from_entropy([n; 10]), [n; 32]);
        let hash =
            |n| hash::hash(&secret(n), &[n; 16], CHEAP, &mut hash::Memory::default()).unwrap();
        let hashes = hashes.iter().map(|&n| Arc::from(hash(n))).enumerate();
        Undecided {
            secret: secret(n),
            tag: [n; 32],
            credential: None,
            hashes: hashes.collect(),
        }
    }

    fn path() -> Argon2Path {
        Argon2Path::new(Hasher::new(CHEAP, 1), 1)
    }

    #[tokio::test]
    async fn the_place_of_the_right_hash_is_found() {
        assert_eq!(path().decide(&question(7, &[1, 7])).await, Ok(Some(1)));
        assert_eq!(path().decide(&question(7, &[1, 2])).await, Ok(None));
    }

    #[tokio::test]
    async fn a_damaged_hash_is_not_right_and_does_not_hide_the_next() {
        let mut asked = question(7, &[1, 7]);
        asked.hashes[0].1 = "$argon2id$v=19$m=4294967295,t=1,p=1$AAAA$AAAA".into();
        assert_eq!(path().decide(&asked).await, Ok(Some(1)));
    }

    #[tokio::test]
    async fn callers_with_one_secret_share_a_decision_and_beyond_the_capacity_one_is_told_so() {
        let path = path();
        let asked = question(7, &[7]);
        let same: Vec<_> = (0..100).map(|_| path.flight(&asked).unwrap()).collect();
        assert_eq!((path.in_flight(), same.len()), (1, 100));
        let room = (8..=u8::MAX).take_while(|&n| path.flight(&question(n, &[n])).is_ok());
        assert_eq!(room.count(), PER_THREAD - 1);
        assert_eq!(path.decide(&asked).await, Ok(Some(0)));
    }

    #[tokio::test]
    async fn callers_that_leave_free_their_place() {
        let path = path();
        drop(path.flight(&question(7, &[7])).unwrap());
        let mut tick = tokio::time::interval(Duration::from_millis(1));
        while path.in_flight() > 0 {
            tick.tick().await;
        }
    }
}
