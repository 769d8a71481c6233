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
    SysRng.try_fill_bytes(&mut bytes).map_err(Error)?;
    Ok(bytes)
}
