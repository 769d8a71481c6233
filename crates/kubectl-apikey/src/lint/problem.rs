//! A problem of an object or of a file.

use std::fmt;

use serde::Serialize;

/// How serious a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// The object would be refused, or would never be ready.
    Error,
    /// A part of the object would be ignored.
    Warning,
    /// Whether the object would be refused depends on what could not be read.
    Unknown,
}

/// A problem of an object or of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Problem {
    pub(super) file: String,
    pub(super) line: usize,
    /// The object, for example `apikey/ci`. Empty if the file can't be read.
    pub(super) object: String,
    /// Path of the field in the object. May be empty.
    pub(super) field: String,
    pub(super) severity: Severity,
    /// What is wrong, with the value and the fix.
    pub(super) message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        for part in [&self.object, &self.field] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        match self.severity {
            Severity::Error => {}
            Severity::Warning | Severity::Unknown => write!(f, "warning: ")?,
        }
        write!(f, "{}", self.message)
    }
}
