//! Secrets and their verification: secret format, hashes, fingerprints, the credential record, signing keys, tokens.
//! This crate has no Kubernetes client.
//!
//! A secret exists in clear text only as a [`Secret`], which redacts `Debug`, does not implement `Display` or
//! `Serialize`, and is wiped when it is dropped. All random bytes come from [`random`], except for the
//! ephemeral keys that the age library creates for [`sealed`] files.

pub mod fingerprint;
pub mod hash;
pub mod hex;
pub mod jwt;
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
