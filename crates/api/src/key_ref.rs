//! References to `ApiKey`s.

use std::sync::Arc;

use crate::ApiKey;

/// Namespace and name of an `ApiKey`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyRef {
    /// Namespace of the key.
    pub namespace: Arc<str>,
    /// `metadata.name` of the key.
    pub name: Arc<str>,
}

impl KeyRef {
    /// Creates a reference from a namespace and a name.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// Creates a reference to this key.
    #[must_use]
    pub fn of(apikey: &ApiKey) -> Self {
        let meta = &apikey.metadata;
        Self::new(
            meta.namespace.as_deref().unwrap_or_default(),
            meta.name.as_deref().unwrap_or_default(),
        )
    }
}
