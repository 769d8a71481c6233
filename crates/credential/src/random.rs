//! Random bytes from the operating system: the only source of secrets, salts and ids.

use rand::TryRng as _;
use rand::rngs::SysRng;

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct Error(#[source] rand::rngs::SysError);

/// `N` random bytes.
///
/// # Errors
/// [`Error`] if the operating system has none to give.
pub fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

/// Makes these bytes random, where they are: a secret that is not moved leaves no copy behind.
///
/// # Errors
/// [`Error`] if the operating system has none to give.
pub fn fill(bytes: &mut [u8]) -> Result<(), Error> {
    SysRng.try_fill_bytes(bytes).map_err(Error)
}
