//! An entry of the audit log.

use k8s_openapi::jiff::Timestamp;

/// An entry of the audit log.
pub trait Entry: Send + Sync + std::fmt::Debug {
    /// When it happened.
    fn at(&self) -> Timestamp;
    /// The component that recorded it.
    fn source(&self) -> &'static str;
    /// Action and reason, if the entry may occur in floods.
    fn flood(&self) -> Option<(&'static str, &'static str)>;
    /// Appends the entry as JSON.
    ///
    /// # Errors
    /// The entry can't be serialized, which its types rule out.
    fn append_to(&self, line: &mut Vec<u8>) -> Result<(), serde_json::Error>;
}
