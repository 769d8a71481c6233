//! The public id of a key.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Crockford's base32 in lower case: digits and letters without i, l, o and u.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Public id of a key: 80 random bits as 16 characters of lower-case Crockford base32. It is created with the
/// first secret and never changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId([u8; 16]);

/// The text is not a key id.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key id has 16 characters of '0123456789abcdefghjkmnpqrstvwxyz'")]
pub struct KeyIdError;

impl KeyId {
    /// Length in characters.
    pub const LENGTH: usize = 16;

    /// Creates the id from these 80 bits, most significant bit first.
    #[must_use]
    pub fn from_entropy(entropy: [u8; 10]) -> Self {
        let mut padded = [0; 16];
        padded[6..].copy_from_slice(&entropy);
        let bits = u128::from_be_bytes(padded);
        Self(std::array::from_fn(|i| {
            let index = (bits >> (5 * (Self::LENGTH - 1 - i))) & 31;
            ALPHABET[usize::try_from(index).unwrap_or_default()]
        }))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The part of the id that is in the key's e-mail address.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.as_str()[..8]
    }
}

impl TryFrom<&str> for KeyId {
    type Error = KeyIdError;

    fn try_from(text: &str) -> Result<Self, KeyIdError> {
        let bytes: [u8; Self::LENGTH] = text.as_bytes().try_into().map_err(|_| KeyIdError)?;
        if bytes.iter().all(|b| ALPHABET.contains(b)) {
            Ok(Self(bytes))
        } else {
            Err(KeyIdError)
        }
    }
}

impl TryFrom<String> for KeyId {
    type Error = KeyIdError;

    fn try_from(text: String) -> Result<Self, KeyIdError> {
        Self::try_from(text.as_str())
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
