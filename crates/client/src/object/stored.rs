//! One object, read as far as possible. Pure.

use std::fmt;

use kube::runtime::reflector::Lookup;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::value::RawValue;

use apikey_api::KeyRef;

/// Maximum length of the text of an [`Unreadable`], in characters.
pub const MAX_REASON_CHARS: usize = 256;

/// Identifies an object and its version, which is all that a deletion needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Namespace of the object. `None` for a cluster-scoped object.
    pub namespace: Option<Box<str>>,
    /// Name of the object.
    pub name: Box<str>,
    /// The uid of the object.
    pub uid: Box<str>,
    /// Resource version of the object.
    pub resource_version: Box<str>,
}

impl Identity {
    /// The identity of this object.
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

    /// The resource version as a number, by which versions of one kind are ordered (KEP-5504). 0 if it is not
    /// a number.
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

/// Why an object can't be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(Box<str>);

impl Unreadable {
    /// Creates an error with this reason, without control characters and truncated to [`MAX_REASON_CHARS`].
    #[must_use]
    pub fn new(reason: &dyn fmt::Display) -> Self {
        let reason = reason.to_string();
        let shown = reason.chars().filter(|c| !c.is_control());
        Self(shown.take(MAX_REASON_CHARS).collect::<String>().into())
    }
}

/// An object of the API server, decoded as far as possible.
#[derive(Clone, Debug)]
pub struct Stored<K> {
    /// The identity of the object.
    pub identity: Identity,
    /// The decoded object.
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

/// A kind that can be decoded from JSON.
pub trait Decode: Sized {
    /// Decodes the object. The input is JSON text with any content.
    ///
    /// # Errors
    /// A needed part is missing or has an unknown form.
    fn decode(json: &str) -> Result<Self, Unreadable>;
}

impl<K> Stored<K> {
    /// Creates an object that can't be decoded for this reason.
    #[must_use]
    pub fn unreadable(identity: Identity, reason: &str) -> Self {
        Self {
            identity,
            object: Err(Unreadable::new(&reason)),
        }
    }
}

impl<K: Decode> Stored<K> {
    /// Decodes an object from JSON text.
    ///
    /// # Errors
    /// Not even name, uid and version can be decoded. The API server stores no such object.
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
