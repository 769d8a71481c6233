//! Random bytes from the operating system, the only source of secrets, salts and ids.

use rand::TryRng as _;
use rand::rngs::SysRng;

/// The operating system returned no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct Error(#[source] rand::rngs::SysError);

/// Returns `N` random bytes.
///
/// # Errors
/// Returns [`Error`] if the operating system returns none.
pub fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

/// Fills a buffer with random bytes in place. A secret that is never moved leaves no copy behind.
///
/// # Errors
/// Returns [`Error`] if the operating system returns none.
pub fn fill(bytes: &mut [u8]) -> Result<(), Error> {
    SysRng.try_fill_bytes(bytes).map_err(Error)
}
