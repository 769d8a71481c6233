//! The kinds that can be decoded.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::Resource;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::Lookup;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::metadata::Metadata;
use super::status;
use super::stored::{Decode, Unreadable};
use apikey_api::bounds::MAX_SPEC_BYTES;
use apikey_api::{ApiKey, Organization};

/// Maximum size in bytes of the labels of a namespace. A namespace with more is unreadable and matches no
/// selector.
const MAX_LABEL_BYTES: usize = 64 * 1024;

/// An object with a spec and a status.
#[derive(Deserialize)]
struct Declared<'a> {
    metadata: Metadata,
    #[serde(borrow)]
    spec: &'a RawValue,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
}

impl<'a> Declared<'a> {
    fn read(json: &'a str) -> Result<Self, Unreadable> {
        serde_json::from_str(json).map_err(|error| Unreadable::new(&error))
    }

    fn spec<S: Deserialize<'a>>(&self) -> Result<S, Unreadable> {
        serde_json::from_str(self.spec.get())
            .map_err(|error| Unreadable::new(&format_args!("spec: {error}")))
    }
}

impl Decode for ApiKey {
    fn decode(json: &str) -> Result<Self, Unreadable> {
        let read = Declared::read(json)?;
        let bytes = read.spec.get().len();
        if bytes > MAX_SPEC_BYTES {
            let reason =
                format_args!("spec: {bytes} bytes are more than the maximum of {MAX_SPEC_BYTES}");
            return Err(Unreadable::new(&reason));
        }
        Ok(Self {
            spec: read.spec()?,
            status: status::read(read.status),
            metadata: read.metadata.into(),
        })
    }
}

impl Decode for Organization {
    fn decode(json: &str) -> Result<Self, Unreadable> {
        let read = Declared::read(json)?;
        Ok(Self {
            spec: read.spec()?,
            status: status::read(read.status),
            metadata: read.metadata.into(),
        })
    }
}

impl Decode for Secret {
    fn decode(json: &str) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Read {
            metadata: Metadata,
            data: Option<BTreeMap<String, ByteString>>,
            #[serde(rename = "type")]
            type_: Option<String>,
            immutable: Option<bool>,
        }
        // serde's error can quote a value.
        let read: Read = serde_json::from_str(json)
            .map_err(|_| Unreadable::new(&"metadata or data can't be read"))?;
        Ok(Self {
            metadata: read.metadata.into(),
            data: read.data,
            type_: read.type_,
            immutable: read.immutable,
            ..Self::default()
        })
    }
}

impl Decode for Event {
    fn decode(json: &str) -> Result<Self, Unreadable> {
        typed(json)
    }
}

impl Decode for Lease {
    fn decode(json: &str) -> Result<Self, Unreadable> {
        typed(json)
    }
}

/// Decodes an object with k8s-openapi, except for its metadata.
fn typed<K: DeserializeOwned + Resource>(json: &str) -> Result<K, Unreadable> {
    #[derive(Deserialize)]
    struct Parts<'a>(#[serde(borrow)] BTreeMap<&'a str, &'a RawValue>);
    let unreadable = |error: serde_json::Error| Unreadable::new(&error);
    let Parts(mut parts) = serde_json::from_str(json).map_err(unreadable)?;
    let metadata = parts.remove("metadata").map_or("{}", RawValue::get);
    let metadata: Metadata = serde_json::from_str(metadata).map_err(unreadable)?;
    let rest = serde_json::to_string(&parts).map_err(unreadable)?;
    let mut object: K = serde_json::from_str(&rest).map_err(unreadable)?;
    *object.meta_mut() = metadata.into();
    Ok(object)
}

impl<K> Decode for PartialObjectMeta<K> {
    fn decode(json: &str) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Read {
            metadata: Metadata,
        }
        let read: Read = serde_json::from_str(json).map_err(|e| Unreadable::new(&e))?;
        Ok(Self {
            types: None,
            metadata: read.metadata.into(),
            _phantom: std::marker::PhantomData,
        })
    }
}

/// The properties of a namespace that this project uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceLabels {
    /// Name of the namespace.
    pub name: Box<str>,
    /// The uid of the namespace.
    pub uid: Box<str>,
    /// Resource version of the namespace.
    pub resource_version: Box<str>,
    /// Labels of the namespace.
    pub labels: Arc<BTreeMap<String, String>>,
}

impl Decode for NamespaceLabels {
    fn decode(json: &str) -> Result<Self, Unreadable> {
        let read = PartialObjectMeta::<Namespace>::decode(json)?.metadata;
        let labels = read.labels.unwrap_or_default();
        let bytes: usize = labels
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        if bytes > MAX_LABEL_BYTES {
            return Err(Unreadable::new(&format_args!(
                "its labels have {bytes} bytes, more than {MAX_LABEL_BYTES}"
            )));
        }
        let text = |text: Option<String>| text.unwrap_or_default().into_boxed_str();
        Ok(Self {
            name: text(read.name),
            uid: text(read.uid),
            resource_version: text(read.resource_version),
            labels: Arc::new(labels),
        })
    }
}

impl Lookup for NamespaceLabels {
    type DynamicType = ();

    fn kind((): &()) -> Cow<'_, str> {
        <Namespace as Resource>::kind(&())
    }
    fn group((): &()) -> Cow<'_, str> {
        <Namespace as Resource>::group(&())
    }
    fn version((): &()) -> Cow<'_, str> {
        <Namespace as Resource>::version(&())
    }
    fn plural((): &()) -> Cow<'_, str> {
        <Namespace as Resource>::plural(&())
    }
    fn name(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.name))
    }
    fn namespace(&self) -> Option<Cow<'_, str>> {
        None
    }
    fn resource_version(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.resource_version))
    }
    fn uid(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.uid))
    }
}
