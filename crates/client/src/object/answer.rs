//! Responses of the API server, as types for kube's requests.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::stored::{Decode, Stored};

/// An object that is requested by name. kube's `Api<Answer<K>>` decodes it as leniently as a watch does.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Answer<K>(pub K);

impl<'de, K: Decode> Deserialize<'de> for Answer<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        K::decode(raw.get()).map(Self).map_err(D::Error::custom)
    }
}

impl<K: Resource> Resource for Answer<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dyntype: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dyntype)
    }
    fn group(dyntype: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dyntype)
    }
    fn version(dyntype: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dyntype)
    }
    fn plural(dyntype: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dyntype)
    }
    fn meta(&self) -> &ObjectMeta {
        self.0.meta()
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.meta_mut()
    }
}

/// A page of a list. An item that can't be decoded does not affect the others.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "K: Decode"))]
pub struct Page<K> {
    metadata: PageMetadata,
    items: Option<Vec<Stored<K>>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMetadata {
    #[serde(rename = "continue")]
    token: Option<String>,
    resource_version: Option<String>,
}

impl<K> Page<K> {
    /// The objects of the page.
    #[must_use]
    pub fn into_items(self) -> Vec<Stored<K>> {
        self.items.unwrap_or_default()
    }

    /// The token to request the next page. `None` if this is the last one.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.metadata
            .token
            .as_deref()
            .filter(|token| !token.is_empty())
    }

    /// The resource version of the whole list.
    #[must_use]
    pub fn resource_version(&self) -> &str {
        self.metadata
            .resource_version
            .as_deref()
            .unwrap_or_default()
    }
}
