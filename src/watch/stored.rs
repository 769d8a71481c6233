//! Credential records as they are stored: one Secret per key, in the operator's namespace.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;

use super::keep::Keep;
use apikey_api::names;
use apikey_client::object::{Decode, Unreadable};
use apikey_credential::record::{CredentialRecord, Error, Owner};

/// Labels that select credential records; see [`names::component_selector`].
const SELECTED_BY: [(&str, &str); 2] = [
    (names::LABEL_MANAGED_BY, names::MANAGED_BY),
    (names::LABEL_COMPONENT, names::COMPONENT_VERIFIER),
];

/// The value of a data key of a Secret; empty if there is none.
#[must_use]
pub fn value<'a>(secret: &'a Secret, key: &str) -> &'a [u8] {
    let data = secret.data.as_ref();
    data.and_then(|data| data.get(key))
        .map_or(&[], |value| &value.0)
}

/// A credential record read from its Secret, without the unneeded parts of the Secret.
#[derive(Clone, Debug)]
pub struct StoredRecord {
    /// Name, namespace, uid and version of the Secret.
    pub metadata: ObjectMeta,
    /// The owning `ApiKey`, if the Secret names it.
    pub owner: Option<Owner>,
    /// The credential record, or why it can't be read.
    pub document: Result<CredentialRecord, Error>,
    /// Whether the Secret has the labels that select it; a policy or a person may change them.
    pub is_labelled: bool,
}

impl StoredRecord {
    /// Reads the credential record in a Secret.
    #[must_use]
    pub fn read(secret: Secret) -> Self {
        let owner = owner(&secret.metadata);
        let is_labelled = names::are_set(SELECTED_BY, secret.metadata.labels.as_ref());
        let document = CredentialRecord::parse(value(&secret, names::VERIFIER_DATA_KEY));
        let metadata = ObjectMeta {
            name: secret.metadata.name,
            namespace: secret.metadata.namespace,
            uid: secret.metadata.uid,
            resource_version: secret.metadata.resource_version,
            ..ObjectMeta::default()
        };
        Self {
            metadata,
            owner,
            document,
            is_labelled,
        }
    }

    /// The Secret to write. With the version of `metadata`, it replaces exactly that version.
    ///
    /// # Errors
    /// [`serde_json::Error`] if the record can't be serialized, which its types rule out.
    pub fn render(
        document: &CredentialRecord,
        namespace: &str,
        replaces: Option<&ObjectMeta>,
    ) -> Result<Secret, serde_json::Error> {
        let [managed_by, component] = SELECTED_BY;
        let key_id = (names::LABEL_KEY_ID, document.key_id.as_str());
        let labels = [managed_by, component, key_id];
        Ok(Secret {
            metadata: ObjectMeta {
                name: Some(names::record_secret(&document.owner.uid)),
                namespace: Some(namespace.to_owned()),
                labels: Some(
                    labels
                        .map(|(key, value)| (key.to_owned(), value.to_owned()))
                        .into(),
                ),
                annotations: Some(BTreeMap::from([(
                    names::ANNOTATION_OWNER.to_owned(),
                    format!("{}/{}", document.owner.namespace, document.owner.name),
                )])),
                resource_version: replaces.and_then(|meta| meta.resource_version.clone()),
                uid: replaces.and_then(|meta| meta.uid.clone()),
                ..ObjectMeta::default()
            },
            type_: Some(names::VERIFIER_SECRET_TYPE.to_owned()),
            data: Some(BTreeMap::from([(
                names::VERIFIER_DATA_KEY.to_owned(),
                ByteString(document.to_json()?),
            )])),
            ..Secret::default()
        })
    }
}

fn owner(metadata: &ObjectMeta) -> Option<Owner> {
    let uid = names::record_owner_uid(metadata.name.as_deref()?)?;
    let reference = metadata
        .annotations
        .as_ref()?
        .get(names::ANNOTATION_OWNER)?;
    let (namespace, name) = reference.split_once('/')?;
    Some(Owner {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
    })
}

impl Decode for StoredRecord {
    fn decode(json: &str) -> Result<Self, Unreadable> {
        Secret::decode(json).map(Self::read)
    }
}

impl Keep for StoredRecord {}

/// A Secret with a ring of keys.
impl Keep for Secret {}

impl Resource for StoredRecord {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        Secret::kind(&())
    }
    fn group((): &()) -> Cow<'_, str> {
        Secret::group(&())
    }
    fn version((): &()) -> Cow<'_, str> {
        Secret::version(&())
    }
    fn plural((): &()) -> Cow<'_, str> {
        Secret::plural(&())
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
