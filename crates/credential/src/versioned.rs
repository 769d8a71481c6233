//! Versioned JSON documents in Secrets of ours.

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Why a document can't be read. Its text is kept out: it may hold keys and hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not the JSON of such a document.
    #[error("it is not a document of this kind (line {line}, column {column})")]
    Malformed {
        /// Where reading stopped.
        line: usize,
        /// Where reading stopped.
        column: usize,
    },
    /// Of another version.
    #[error("it has version {found}, this program knows version {known}")]
    Version {
        /// That of the document.
        found: u32,
        /// That of this program.
        known: u32,
    },
}

/// Reads a document of this version.
pub(super) fn read<T: DeserializeOwned>(json: &[u8], known: u32) -> Result<T, Unreadable> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let malformed = |error: serde_json::Error| Unreadable::Malformed {
        line: error.line(),
        column: error.column(),
    };
    let Versioned { version: found } = serde_json::from_slice(json).map_err(malformed)?;
    if found != known {
        return Err(Unreadable::Version { found, known });
    }
    serde_json::from_slice(json).map_err(malformed)
}
