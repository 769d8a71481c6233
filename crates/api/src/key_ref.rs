//! Which `ApiKey`.

use std::sync::Arc;

use crate::ApiKey;

/// Namespace and name of an `ApiKey`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyRef {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its `metadata.name`.
    pub name: Arc<str>,
}

impl KeyRef {
    /// From borrowed text.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// Of this key.
    #[must_use]
    pub fn of(apikey: &ApiKey) -> Self {
        let meta = &apikey.metadata;
        Self::new(
            meta.namespace.as_deref().unwrap_or_default(),
            meta.name.as_deref().unwrap_or_default(),
        )
    }
}
