//! A signature that needs no heap allocation.

use std::fmt;

use super::Error;

/// Maximum length of a signature in bytes: that of RSA with 2048 bits.
pub(super) const MAX_SIGNATURE: usize = 256;

/// A signature in the format of RFC 7515.
#[derive(Clone)]
pub struct Signature {
    bytes: [u8; MAX_SIGNATURE],
    len: usize,
}

impl Signature {
    pub(super) fn copy(made: &aws_lc_rs::signature::Signature) -> Result<Self, Error> {
        let made = made.as_ref();
        let mut bytes = [0; MAX_SIGNATURE];
        let target = bytes.get_mut(..made.len()).ok_or(Error::Failed("sign"))?;
        target.copy_from_slice(made);
        let len = made.len();
        Ok(Self { bytes, len })
    }

    /// Creates a signature of the maximum length.
    pub(super) fn fill(
        write: impl FnOnce(&mut [u8; MAX_SIGNATURE]) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let mut bytes = [0; MAX_SIGNATURE];
        write(&mut bytes)?;
        let len = MAX_SIGNATURE;
        Ok(Self { bytes, len })
    }
}

impl AsRef<[u8]> for Signature {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({} bytes)", self.len)
    }
}
