//! Argon2id hashes of secrets. They verify a secret even if the peppers are lost.
//!
//! Sources: RFC 9106; OWASP Password Storage Cheat Sheet (19 MiB, 2 passes, 1 lane).

use std::alloc::System;
use std::sync::Arc;

use allocator_api2::vec::Vec as VecIn;
use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use parking_lot::Mutex;
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;

use super::{Secret, random};

/// Maximum memory cost in KiB that [`verify`] accepts from a stored hash, so that a damaged number can't
/// exhaust the memory of the machine.
pub const MAX_STORED_MEMORY_KIB: u32 = 262_144;
/// Maximum number of passes that [`verify`] accepts from a stored hash.
pub const MAX_STORED_ITERATIONS: u32 = 16;

/// Address space to reserve for a working memory. glibc keeps freed blocks of up to 32 MiB for later use and
/// returns larger ones to the system at once. Reserved address space that is not used takes no memory.
const RETURNED_BLOCKS: usize = 33 * 1024 * 1024 / Block::SIZE;

/// Working memory of argon2id. It contains no secret, so it uses the system allocator, which does not wipe
/// it. A global allocator that wipes would touch all of the reserved address space.
#[derive(Debug)]
pub struct Memory(VecIn<Block, System>);

impl Default for Memory {
    fn default() -> Self {
        Self(VecIn::new_in(System))
    }
}

/// Cost of one hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Cost {
    /// Memory in KiB, from 8 to 262,144. Default 19,456 (OWASP).
    pub memory_kib: u32,
    /// Passes over the memory, from 1 to 16. Default 2 (OWASP).
    pub iterations: u32,
}

impl Default for Argon2Cost {
    fn default() -> Self {
        Self {
            memory_kib: 19_456,
            iterations: 2,
        }
    }
}

/// A hash could not be created or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cost is outside the range of the algorithm or of this program.
    #[error("argon2 cost out of range (memory {memory_kib} KiB, {iterations} passes)")]
    Cost {
        /// The requested memory in KiB.
        memory_kib: u32,
        /// The requested number of passes.
        iterations: u32,
    },
    /// The stored text is not an argon2id hash in PHC form.
    #[error("the stored hash is not an argon2id PHC string")]
    Malformed,
    /// Random bytes for the salt are not available.
    #[error(transparent)]
    Random(#[from] random::Error),
    /// The hashing thread was stopped.
    #[error("hashing was interrupted")]
    Interrupted,
}

fn argon2(cost: Argon2Cost) -> Result<Argon2<'static>, Error> {
    let Argon2Cost {
        memory_kib,
        iterations,
    } = cost;
    let out_of_range = Error::Cost {
        memory_kib,
        iterations,
    };
    if memory_kib > MAX_STORED_MEMORY_KIB || iterations > MAX_STORED_ITERATIONS {
        return Err(out_of_range);
    }
    let params = Params::new(memory_kib, iterations, 1, Some(Params::DEFAULT_OUTPUT_LEN))
        .map_err(|_| out_of_range)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Hashes the secret and returns the PHC string. `memory` grows to what the cost needs and can be reused.
///
/// # Errors
/// Returns [`Error::Cost`] if the cost is out of range.
pub fn hash(
    secret: &Secret,
    salt: &[u8; 16],
    cost: Argon2Cost,
    memory: &mut Memory,
) -> Result<String, Error> {
    let argon2 = argon2(cost)?;
    let output = digest(&argon2, secret, salt, memory)?;
    let phc = PasswordHash {
        algorithm: argon2::ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: argon2.params().try_into().map_err(|_| Error::Malformed)?,
        salt: Some(Salt::new(salt).map_err(|_| Error::Malformed)?),
        hash: Some(Output::new(&output).map_err(|_| Error::Malformed)?),
    };
    Ok(phc.to_string())
}

fn digest(
    argon2: &Argon2<'_>,
    secret: &Secret,
    salt: &[u8],
    memory: &mut Memory,
) -> Result<[u8; Params::DEFAULT_OUTPUT_LEN], Error> {
    let blocks = argon2.params().block_count();
    let Memory(memory) = memory;
    memory.reserve_exact(blocks.max(RETURNED_BLOCKS).saturating_sub(memory.len()));
    memory.resize(blocks, Block::new());
    let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
    argon2
        .hash_password_into_with_memory(secret.expose().as_bytes(), salt, &mut output, memory)
        .map_err(|_| Error::Malformed)?;
    Ok(output)
}

/// Whether the secret has this hash. Compares in constant time. `memory` is used as in [`hash`].
///
/// # Errors
/// Returns [`Error::Malformed`] or [`Error::Cost`] if the stored text can't be used.
pub fn verify(secret: &Secret, phc: &str, memory: &mut Memory) -> Result<bool, Error> {
    let stored = PasswordHash::new(phc).map_err(|_| Error::Malformed)?;
    let (Some(salt), Some(expected)) = (stored.salt, stored.hash) else {
        return Err(Error::Malformed);
    };
    let params = Params::try_from(&stored).map_err(|_| Error::Malformed)?;
    if stored.algorithm != argon2::ARGON2ID_IDENT || params.p_cost() != 1 {
        return Err(Error::Malformed);
    }
    let cost = Argon2Cost {
        memory_kib: params.m_cost(),
        iterations: params.t_cost(),
    };
    let output = digest(&argon2(cost)?, secret, &salt, memory)?;
    Ok(output.ct_eq(expected.as_bytes()).into())
}

/// Hashes on a bounded number of blocking threads.
///
/// The memory use is at most `threads` times the memory cost. Working memory is reused while hashes run or
/// wait, and it is freed after the last one.
#[derive(Debug)]
pub struct Hasher {
    cost: Argon2Cost,
    permits: Arc<Semaphore>,
    pool: Arc<Mutex<Pool>>,
}

#[derive(Debug, Default)]
struct Pool {
    memories: Vec<Memory>,
    /// Number of hashes that run or wait.
    wanted: usize,
}

impl Hasher {
    /// Creates a hasher with this number of threads.
    #[must_use]
    pub fn new(cost: Argon2Cost, threads: usize) -> Self {
        Self {
            cost,
            permits: Arc::new(Semaphore::new(threads.max(1))),
            pool: Arc::default(),
        }
    }

    /// Hashes the secret with a new salt and returns the PHC string. Waits for a free thread.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn hash(&self, secret: Secret) -> Result<String, Error> {
        let salt = random::bytes()?;
        let cost = self.cost;
        self.on_thread(move |memory| hash(&secret, &salt, cost, memory))
            .await
    }

    /// Whether the secret has this hash. Waits for a free thread.
    ///
    /// # Errors
    /// See [`verify`].
    pub async fn verify(&self, secret: Secret, phc: Arc<str>) -> Result<bool, Error> {
        self.on_thread(move |memory| verify(&secret, &phc, memory))
            .await
    }

    /// Closes the hasher. Calls that wait, and later calls, return [`Error::Interrupted`].
    pub fn close(&self) {
        self.permits.close();
    }

    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let wanted = Wanted::new(Arc::clone(&self.pool));
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let working = tokio::task::spawn_blocking(move || {
            // A caller that is dropped does not stop the thread, so the permit is moved into the work.
            let _permit = permit.map_err(|_| Error::Interrupted)?;
            let mut memory = wanted.pool.lock().memories.pop().unwrap_or_default();
            let result = work(&mut memory);
            wanted.pool.lock().memories.push(memory);
            drop(wanted);
            result
        });
        working.await.map_err(|_| Error::Interrupted)?
    }
}

/// One hash that runs or waits. Dropping the last one frees the memory.
struct Wanted {
    pool: Arc<Mutex<Pool>>,
}

impl Wanted {
    fn new(pool: Arc<Mutex<Pool>>) -> Self {
        pool.lock().wanted += 1;
        Self { pool }
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        let mut pool = self.pool.lock();
        pool.wanted -= 1;
        if pool.wanted == 0 {
            pool.memories = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyId;

    fn secret(n: u8) -> Secret {
        Secret::from_entropy(&KeyId::from_entropy([n; 10]), [n; 32])
    }

    const CHEAP: Argon2Cost = Argon2Cost {
        memory_kib: 8,
        iterations: 1,
    };

    #[test]
    fn only_the_hashed_secret_verifies() {
        let phc = hash(&secret(1), &[3; 16], CHEAP, &mut Memory::default()).unwrap();
        assert!(verify(&secret(1), &phc, &mut Memory::default()).unwrap());
        assert!(!verify(&secret(2), &phc, &mut Memory::default()).unwrap());
    }

    #[test]
    fn the_default_cost_is_the_one_owasp_recommends() {
        let phc = hash(
            &secret(1),
            &[3; 16],
            Argon2Cost::default(),
            &mut Memory::default(),
        )
        .unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
    }

    #[test]
    fn a_stored_hash_with_a_hostile_cost_is_refused_before_any_memory_is_taken() {
        let phc = hash(&secret(1), &[3; 16], CHEAP, &mut Memory::default()).unwrap();
        for hostile in [
            "m=4194304,t=1,p=1",
            "m=8,t=4000000,p=1",
            "m=4294967295,t=1,p=1",
        ] {
            let stored = phc.replace("m=8,t=1,p=1", hostile);
            assert!(
                verify(&secret(1), &stored, &mut Memory::default()).is_err(),
                "{hostile}"
            );
        }
        for malformed in [
            "",
            "$argon2id$",
            "$argon2i$v=19$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAA",
        ] {
            assert!(
                matches!(
                    verify(&secret(1), malformed, &mut Memory::default()),
                    Err(Error::Malformed)
                ),
                "{malformed}"
            );
        }
    }

    #[tokio::test]
    async fn the_pool_gives_its_memory_back_when_nobody_waits() {
        let hasher = Hasher::new(CHEAP, 2);
        let all = (0..8).map(|n| hasher.hash(secret(n)));
        for (n, phc) in (0..8).zip(futures::future::try_join_all(all).await.unwrap()) {
            assert!(verify(&secret(n), &phc, &mut Memory::default()).unwrap());
        }
        let pool = hasher.pool.lock();
        assert_eq!((pool.wanted, pool.memories.len()), (0, 0));
    }
}
