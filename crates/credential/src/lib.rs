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
pub mod sealed;
mod secret;
pub mod signing;
mod stock;
pub mod verifier;
mod versioned;

pub use hash::{Argon2Cost, Hasher};
pub use key_id::KeyId;
pub use secret::{FormatError, PATTERN, Secret};
pub use stock::{Blank, Stock};
pub use versioned::Unreadable;
