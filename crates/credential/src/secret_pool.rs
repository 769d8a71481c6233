//! A small pool of secrets that are hashed in advance, for new keys.
//!
//! Hashing takes most of the time in which a key is created. A secret in the pool belongs to a public id that
//! no key has, so it gives no access until a credential record is stored for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::hash::Error;
use super::{Hasher, KeyId, Secret, random};

/// Number of secrets in the pool. A larger pool would help only in bursts, which are limited by hashing
/// anyway.
const SIZE: usize = 2;

/// A secret of a new public id, and its hash.
#[derive(Debug)]
pub struct PrehashedSecret {
    /// The secret.
    pub secret: Secret,
    /// Argon2id hash of the secret as a PHC string.
    pub hash: String,
}

/// A pool of prehashed secrets.
#[derive(Debug)]
pub struct SecretPool {
    hasher: Arc<Hasher>,
    ready: Mutex<Vec<PrehashedSecret>>,
    filling: AtomicBool,
}

impl SecretPool {
    /// Creates an empty pool.
    #[must_use]
    pub fn new(hasher: Arc<Hasher>) -> Arc<Self> {
        Arc::new(Self {
            hasher,
            ready: Mutex::default(),
            filling: AtomicBool::new(false),
        })
    }

    /// Takes a secret from the pool, or creates one if the pool is empty, and refills the pool.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn take(self: &Arc<Self>) -> Result<PrehashedSecret, Error> {
        let ready = self.ready.lock().pop();
        self.fill();
        match ready {
            Some(prehashed) => Ok(prehashed),
            None => self.make().await,
        }
    }

    /// Fills the pool in the background.
    pub fn fill(self: &Arc<Self>) {
        if self.filling.swap(true, Ordering::AcqRel) {
            return;
        }
        let secret_pool = Arc::clone(self);
        tokio::spawn(async move {
            while secret_pool.ready.lock().len() < SIZE {
                match secret_pool.make().await {
                    Ok(prehashed) => secret_pool.ready.lock().push(prehashed),
                    Err(error) => {
                        tracing::warn!(%error, "No secret could be hashed ahead");
                        break;
                    }
                }
            }
            secret_pool.filling.store(false, Ordering::Release);
        });
    }

    async fn make(&self) -> Result<PrehashedSecret, Error> {
        let key_id = KeyId::from_entropy(random::bytes()?);
        let secret = Secret::generate(&key_id)?;
        let hash = self.hasher.hash(secret.clone()).await?;
        Ok(PrehashedSecret { secret, hash })
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
        let secret_pool = SecretPool::new(Arc::new(Hasher::new(cost, 2)));
        let mut key_ids = BTreeSet::new();
        for _ in 0..10 {
            let prehashed = secret_pool.take().await.unwrap();
            assert!(
                hash::verify(
                    &prehashed.secret,
                    &prehashed.hash,
                    &mut hash::Memory::default()
                )
                .unwrap()
            );
            assert!(key_ids.insert(prehashed.secret.key_id().clone()));
        }
    }
}
