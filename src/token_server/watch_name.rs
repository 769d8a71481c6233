//! Names of the watches of the token server, in logs and messages.

/// All keys.
pub const APIKEYS: &str = "apikeys";
/// All credential records.
pub const RECORDS: &str = "credential records";
