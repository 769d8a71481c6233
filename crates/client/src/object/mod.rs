//! Objects as the API server stores them.
//!
//! Whoever may write an object decides what stands in it, within what the API server accepts. So each
//! object is read by itself, and only those parts that something here needs; the rest is skipped
//! unread, however deep or damaged it is. Anything may be in `managedFields` above all: the API server
//! stores times there that no other program can represent.
//!
//! # Guarantees
//! - Reading never recurses into what is not needed, so no nesting exhausts the stack.
//! - An object whose needed part can't be read is still known by its [`Identity`].
//! - The text of an error names no value of a Secret.

mod answer;
mod kinds;
mod metadata;
mod status;
mod whole;

use std::fmt;

use kube::runtime::reflector::Lookup;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::value::RawValue;

use apikey_api::KeyRef;

pub use self::answer::{Answer, Page};
pub use self::kinds::NamespaceLabels;
pub use self::whole::{Sent, Whole};

/// Longest text of an [`Unreadable`]. Unit: characters.
pub const MAX_REASON_CHARS: usize = 256;

/// Which object, and which version of it. All that a deletion needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its namespace; `None` for an object of the cluster.
    pub namespace: Option<Box<str>>,
    /// Its name.
    pub name: Box<str>,
    /// Its uid.
    pub uid: Box<str>,
    /// Its version.
    pub resource_version: Box<str>,
}

impl Identity {
    /// Of this object.
    #[must_use]
    pub fn of<K: Lookup>(object: &K) -> Self {
        let text = |text: Option<std::borrow::Cow<'_, str>>| text.unwrap_or_default().into();
        Self {
            namespace: object.namespace().map(Into::into),
            name: text(object.name()),
            uid: text(object.uid()),
            resource_version: text(object.resource_version()),
        }
    }

    /// The version as a number, by which versions of one kind are ordered (KEP-5504); 0 if it is none.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.resource_version.parse().unwrap_or(0)
    }
}

impl From<&Identity> for KeyRef {
    fn from(identity: &Identity) -> Self {
        Self::new(
            identity.namespace.as_deref().unwrap_or_default(),
            &identity.name,
        )
    }
}

/// Why an object can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(Box<str>);

impl Unreadable {
    /// For this reason, without control characters and cut to [`MAX_REASON_CHARS`].
    #[must_use]
    pub fn new(reason: &dyn fmt::Display) -> Self {
        let reason = reason.to_string();
        let shown = reason.chars().filter(|c| !c.is_control());
        Self(shown.take(MAX_REASON_CHARS).collect::<String>().into())
    }
}

/// One object of the API server, read as far as possible.
#[derive(Clone, Debug)]
pub struct Stored<K> {
    /// Which one.
    pub identity: Identity,
    /// What stands in it.
    pub object: Result<K, Unreadable>,
}

impl<K: Lookup> From<K> for Stored<K> {
    fn from(object: K) -> Self {
        Self {
            identity: Identity::of(&object),
            object: Ok(object),
        }
    }
}

/// A kind that is read from its JSON.
pub trait Decode: Sized {
    /// Reads the object. It is JSON text, but nothing more is known of it.
    ///
    /// # Errors
    /// A needed part is missing, or is not of the form that this program knows.
    fn decode(json: &str) -> Result<Self, Unreadable>;
}

impl<K> Stored<K> {
    /// An object that can't be read, for this reason.
    #[must_use]
    pub fn unreadable(identity: Identity, reason: &str) -> Self {
        Self {
            identity,
            object: Err(Unreadable::new(&reason)),
        }
    }
}

impl<K: Decode> Stored<K> {
    /// Reads an object from its JSON text.
    ///
    /// # Errors
    /// Not even name, uid and version can be read. The API server stores no such object.
    pub fn read(json: &str) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Shell {
            metadata: Metadata,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Metadata {
            namespace: Option<Box<str>>,
            name: Box<str>,
            uid: Box<str>,
            resource_version: Box<str>,
        }
        let Shell { metadata } = serde_json::from_str(json)?;
        Ok(Self {
            identity: Identity {
                namespace: metadata.namespace,
                name: metadata.name,
                uid: metadata.uid,
                resource_version: metadata.resource_version,
            },
            object: K::decode(json),
        })
    }
}

impl<'de, K: Decode> Deserialize<'de> for Stored<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::read(raw.get()).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
