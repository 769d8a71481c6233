//! Keys that sign tokens: a ring with one that signs, the one that will, and those that did.
//!
//! The life of a key is decided by time alone, so that no replica waits for a write at the moment
//! of change: it is *next* until its `signsFrom`, *current* until that of a later key, and then
//! *retired* until the last token it signed is dead. All of them are published. [`rotation`] decides
//! and is pure; [`SigningKey::generate`] is the only thing here that needs random bytes.
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

/// How tokens are signed (RFC 7518, RFC 8037).
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

/// Why a signing key or a ring of them can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// See [`Unreadable`].
    #[error("the signing ring can't be read: {0}")]
    Unreadable(#[from] Unreadable),
    /// No keys, or one that is not what the ring says it is.
    #[error("the signing ring has no key, or one that is not usable")]
    Unusable,
    /// The cryptographic library did not do it. It never says why.
    #[error("failed to {0}")]
    Failed(&'static str),
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Es256, Self::Rs256, Self::EdDsa];

    /// The word in JOSE headers.
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
