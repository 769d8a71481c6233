//! Checks secrets with argon2id on a bounded pool. Concurrent requests with the same secret share
//! one check.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::check_secret::Undecided;
use apikey_credential::{Hasher, Secret, hash};

/// Longest wait for a decision.
pub const DEADLINE: Duration = Duration::from_secs(5);
/// Decisions that may run or wait, per thread of the pool. A thread completes this many well within
/// [`DEADLINE`].
const PER_THREAD: usize = 32;

/// The decision: the position of the proof that matches, if one does.
type Decision = Option<usize>;
/// Tag of the secret, and the hashes to check. A decision about other hashes does not apply,
/// because the key may have changed in between.
type Key = ([u8; 32], Vec<(usize, Arc<str>)>);
type Flights = BTreeMap<Key, watch::Receiver<Option<Decision>>>;

/// Too many decisions are waiting.
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
    /// Creates a path that uses this hasher, which has `threads` threads.
    #[must_use]
    pub fn new(hasher: Hasher, threads: usize) -> Self {
        Self {
            hasher: Arc::new(hasher),
            flights: Arc::default(),
            capacity: threads.saturating_mul(PER_THREAD),
        }
    }

    /// Number of decisions that run or wait.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.flights.lock().len()
    }

    /// Decides about a secret. Callers with the same secret and hashes share one decision. It
    /// completes even if they leave, unless it has not begun.
    ///
    /// # Errors
    /// [`Overloaded`] if too many decisions wait, this one took too long, or a check was
    /// interrupted.
    pub async fn decide(&self, question: &Undecided) -> Result<Decision, Overloaded> {
        let mut decision = self.flight(question)?;
        let decided = decision.wait_for(Option::is_some);
        match tokio::time::timeout(DEADLINE, decided).await {
            Ok(Ok(decided)) => Ok(decided.flatten()),
            // The deadline passed, or the sender was dropped without a decision.
            Ok(Err(_)) | Err(_) => Err(Overloaded),
        }
    }

    fn flight(
        &self,
        question: &Undecided,
    ) -> Result<watch::Receiver<Option<Decision>>, Overloaded> {
        self.join(&mut self.flights.lock(), question)
    }

    fn join(
        &self,
        flights: &mut Flights,
        question: &Undecided,
    ) -> Result<watch::Receiver<Option<Decision>>, Overloaded> {
        let key = (question.tag, question.hashes.clone());
        if let Some(flight) = flights.get(&key) {
            return Ok(flight.clone());
        }
        if flights.len() >= self.capacity {
            return Err(Overloaded);
        }
        let (decide, decision) = watch::channel(None);
        flights.insert(key.clone(), decision.clone());
        let flight = Flight {
            key,
            decide,
            flights: Arc::clone(&self.flights),
        };
        tokio::spawn(flight.run(Arc::clone(&self.hasher), question.secret.clone()));
        Ok(decision)
    }
}

/// A decision in progress.
struct Flight {
    key: Key,
    decide: watch::Sender<Option<Decision>>,
    flights: Arc<Mutex<Flights>>,
}

impl Flight {
    async fn run(self, hasher: Arc<Hasher>, secret: Secret) {
        let mut was_interrupted = false;
        for (candidate, hash) in &self.key.1 {
            if self.is_abandoned() {
                return;
            }
            match hasher.verify(secret.clone(), Arc::clone(hash)).await {
                Ok(true) => return self.land(Some(*candidate)),
                Ok(false) => {}
                Err(error) => {
                    was_interrupted |= matches!(error, hash::Error::Interrupted);
                    tracing::error!(key_id = %secret.key_id(), %error, "A stored hash can't be checked");
                }
            }
        }
        if was_interrupted {
            // Dropping the sender reports to the callers that there is no decision.
            self.flights.lock().remove(&self.key);
        } else {
            self.land(None);
        }
    }

    /// Whether no caller waits any more. In that case none can join any more.
    fn is_abandoned(&self) -> bool {
        let mut flights = self.flights.lock();
        // The map holds one receiver, and callers join under its lock.
        let is_abandoned = self.decide.receiver_count() <= 1;
        if is_abandoned {
            flights.remove(&self.key);
        }
        is_abandoned
    }

    fn land(&self, decision: Decision) {
        self.flights.lock().remove(&self.key);
        self.decide.send_replace(Some(decision));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apikey_credential::{Argon2Cost, KeyId};

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
    async fn callers_with_one_secret_share_a_decision_and_beyond_the_capacity_a_caller_gets_an_error()
     {
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
        // The decision begins now, and sees that no caller waits.
        tokio::task::yield_now().await;
        assert_eq!(path.in_flight(), 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_caller_that_joins_as_the_last_one_leaves_gets_the_verdict() {
        for _ in 0..20 {
            let (path, asked) = (path(), question(7, &[7]));
            let late = {
                let mut flights = path.flights.lock();
                drop(path.join(&mut flights, &asked).unwrap());
                // Leaves time for the decision to see that no caller waits. The result must not depend
                // on it.
                std::thread::sleep(Duration::from_millis(10));
                path.join(&mut flights, &asked)
            };
            let mut late = late.unwrap();
            let decided = late.wait_for(Option::is_some).await;
            assert_eq!(*decided.unwrap(), Some(Some(0)));
        }
    }

    #[tokio::test]
    async fn a_caller_with_other_hashes_gets_a_decision_of_its_own() {
        let path = path();
        let _before = path.flight(&question(7, &[1])).unwrap();
        assert_eq!(path.decide(&question(7, &[1, 7])).await, Ok(Some(1)));
        let mut moved = question(7, &[1, 7]);
        moved.hashes.swap(0, 1);
        let _before = path.flight(&question(7, &[1, 7])).unwrap();
        assert_eq!(path.decide(&moved).await, Ok(Some(1)));
    }

    #[tokio::test]
    async fn a_check_that_is_interrupted_is_no_verdict() {
        let hasher = Hasher::new(CHEAP, 1);
        hasher.close();
        let path = Argon2Path::new(hasher, 1);
        assert_eq!(path.decide(&question(7, &[7])).await, Err(Overloaded));
        assert_eq!(path.in_flight(), 0);
    }
}
