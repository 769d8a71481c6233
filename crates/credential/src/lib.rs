//! Secrets and what proves them: format, hashes, fingerprints, the verifier document. No client.
//!
//! A secret exists in clear only as a [`Secret`], which redacts `Debug`, has no `Display` or
//! `Serialize`, and is wiped when dropped. Random bytes come from [`random`] and nowhere else, but for
//! the ephemeral keys that the age library makes for [`sealed`] files.

pub mod fingerprint;
pub mod hash;
pub mod hex;
mod key_id;
pub mod memory;
pub mod random;
pub mod record;
pub mod sealed;
mod secret;
mod secret_pool;
pub mod signing;
mod versioned;

pub use hash::{Argon2Cost, Hasher};
pub use key_id::KeyId;
pub use secret::{FormatError, PATTERN, Secret};
pub use secret_pool::{PrehashedSecret, SecretPool};
pub use versioned::Unreadable;
