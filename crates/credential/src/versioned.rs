//! Versioned JSON documents in Secrets of the operator.

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Why a document can't be read. The message omits its text, which may contain keys and hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The document does not have the expected JSON.
    #[error("it is not a document of this kind (line {line}, column {column})")]
    Malformed {
        /// Line where parsing stopped.
        line: usize,
        /// Column where parsing stopped.
        column: usize,
    },
    /// The document has another version.
    #[error("it has version {found}, this program knows version {known}")]
    Version {
        /// Version of the document.
        found: u32,
        /// Version that this program reads.
        known: u32,
    },
}

/// Parses a document of this version.
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
