//! The ring of token signing keys: the next key, the current key, and retired keys.
//!
//! Time alone decides the state of a key, so that no replica has to wait for a write when the state changes.
//! A key is *next* until its `signsFrom`, *current* until the `signsFrom` of a later key, and then *retired*
//! until the last token that it signed has expired. All keys in the ring are published. [`rotation`] makes
//! the decisions and is pure. Only [`SigningKey::generate`] needs random bytes.
//!
//! Sources: RFC 7515 (signatures), RFC 7517 and 7518 (keys), RFC 7638 (key ids), RFC 8037 (Ed25519).

mod key;
mod public;
mod ring;
pub mod rotation;
mod signature;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use key::SigningKey;
pub use public::{BadJwk, PublicKey};
pub use ring::SigningRing;
pub use rotation::{RotationPolicy, Step};
pub use signature::Signature;

use super::Unreadable;

/// Signature algorithm of tokens (RFC 7518, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// ECDSA with P-256 and SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// RSA PKCS #1 v1.5 with SHA-256, 2048 bits.
    #[serde(rename = "RS256")]
    Rs256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// Why a signing key or a ring can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The document can't be read. See [`Unreadable`].
    #[error("the signing ring can't be read: {0}")]
    Unreadable(#[from] Unreadable),
    /// The ring has no keys, or a key does not match its description.
    #[error("the signing ring has no key, or one that is not usable")]
    Unusable,
    /// The cryptographic library failed. It does not report why.
    #[error("failed to {0}")]
    Failed(&'static str),
}

impl Algorithm {
    /// All algorithms.
    pub const ALL: [Self; 3] = [Self::Es256, Self::Rs256, Self::EdDsa];

    /// The name in JOSE headers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|known| known.as_str() == text);
        known.ok_or_else(|| "must be ES256, RS256 or EdDSA".into())
    }
}
