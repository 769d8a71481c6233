//! Objects as the API server stores them.
//!
//! A user who may write an object decides its content, within the limits of the API server. Each object is
//! therefore decoded separately, and only its needed parts. The rest is skipped, however deep or damaged it
//! is. In particular, `managedFields` can contain anything: the API server stores times there that no other
//! program can represent.
//!
//! # Guarantees
//! - Decoding never recurses into parts that are not needed, so nesting can't exhaust the stack.
//! - An object whose needed parts can't be decoded still has its [`Identity`].
//! - The text of an error contains no value of a Secret.

mod answer;
mod kinds;
mod metadata;
mod status;
mod stored;
mod whole;

pub use self::answer::{Answer, Page};
pub use self::kinds::NamespaceLabels;
pub use self::stored::{Decode, Identity, MAX_REASON_CHARS, Stored, Unreadable};
pub use self::whole::{Sent, Whole};

#[cfg(test)]
mod tests;
