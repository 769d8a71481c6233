//! A few secrets hashed ahead, for keys that do not exist yet.
//!
//! Hashing is most of the time that a new key takes. A secret in stock belongs to a public id that
//! nobody has, so it opens nothing until a verifier is stored for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::hash::Error;
use super::{Hasher, KeyId, Secret, random};

/// Secrets in stock. More would only help bursts, which are bound by hashing anyway.
const SIZE: usize = 2;

/// A secret of a new public id, with its hash.
#[derive(Debug)]
pub struct Blank {
    /// The secret.
    pub secret: Secret,
    /// Its argon2id hash in PHC form.
    pub hash: String,
}

/// The stock.
#[derive(Debug)]
pub struct Stock {
    hasher: Arc<Hasher>,
    ready: Mutex<Vec<Blank>>,
    filling: AtomicBool,
}

impl Stock {
    /// An empty stock.
    #[must_use]
    pub fn new(hasher: Arc<Hasher>) -> Arc<Self> {
        Arc::new(Self {
            hasher,
            ready: Mutex::default(),
            filling: AtomicBool::new(false),
        })
    }

    /// Takes a secret from the stock, or makes one if it is empty, and has it filled again.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn take(self: &Arc<Self>) -> Result<Blank, Error> {
        let ready = self.ready.lock().pop();
        self.fill();
        match ready {
            Some(blank) => Ok(blank),
            None => self.make().await,
        }
    }

    /// Fills the stock in the background.
    pub fn fill(self: &Arc<Self>) {
        if self.filling.swap(true, Ordering::AcqRel) {
            return;
        }
        let stock = Arc::clone(self);
        tokio::spawn(async move {
            while stock.ready.lock().len() < SIZE {
                match stock.make().await {
                    Ok(blank) => stock.ready.lock().push(blank),
                    Err(error) => {
                        tracing::warn!(%error, "No secret could be hashed ahead");
                        break;
                    }
                }
            }
            stock.filling.store(false, Ordering::Release);
        });
    }

    async fn make(&self) -> Result<Blank, Error> {
        let key_id = KeyId::from_entropy(random::bytes()?);
        let secret = Secret::generate(&key_id)?;
        let hash = self.hasher.hash(secret.clone()).await?;
        Ok(Blank { secret, hash })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{Argon2Cost, hash};

    #[tokio::test]
    async fn every_secret_is_new_and_has_its_hash() {
        let cost = Argon2Cost {
            memory_kib: 8,
            iterations: 1,
        };
        let stock = Stock::new(Arc::new(Hasher::new(cost, 2)));
        let mut key_ids = BTreeSet::new();
        for _ in 0..10 {
            let blank = stock.take().await.unwrap();
            assert!(
                hash::verify(&blank.secret, &blank.hash, &mut hash::Memory::default()).unwrap()
            );
            assert!(key_ids.insert(blank.secret.key_id().clone()));
        }
    }
}
