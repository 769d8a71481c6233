//! The delivered Secret as it is read back: metadata only.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::Lookup;

use super::written::Written;
use crate::watch::Keep;
use apikey_api::{ApiKey, names};
use apikey_client::object::{Decode, Unreadable};

/// Longest annotation that is kept. The operator writes no annotation of this length, so a cut one
/// matches none of its own. Unit: characters.
const MAX_ANNOTATION_CHARS: usize = 256;

/// Labels by which delivered Secrets are watched. The controller may only write Secrets with these
/// labels; see [`names::component_selector`].
pub const SELECTED_BY: [(&str, &str); 2] = [
    (names::LABEL_MANAGED_BY, names::MANAGED_BY),
    (names::LABEL_COMPONENT, names::COMPONENT_API_KEY),
];

/// Metadata of a Secret with the name that a key delivers to, as far as decisions depend on it. One
/// is kept in memory for each key. The complete annotations alone would take half a KiB for each
/// key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Its uid.
    pub uid: Box<str>,
    /// Its version.
    pub resource_version: Box<str>,
    /// Whether its deletion has begun.
    pub is_deleting: bool,
    /// Whether it has the labels by which it is watched.
    pub is_labelled: bool,
    /// Its controller, if it has one.
    pub controller: Option<Controller>,
    /// Annotation `verifier`: digest of the entry of the credential record that its value belongs to.
    pub entry_digest: Option<Box<str>>,
    /// Annotation `template`: see [`template_digest`](super::apikey::render::template_digest).
    pub template: Option<Box<str>>,
    /// Annotation `revealed-at`: when somebody claimed a secret that is shown once.
    pub revealed_at: Option<Box<str>>,
    /// Which fields still have what the operator wrote.
    pub written: Written,
}

/// The controller among the owners of a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Controller {
    /// An `ApiKey` of the same namespace.
    ApiKey {
        /// Its name.
        name: Box<str>,
        /// Its uid.
        uid: Box<str>,
    },
    /// Something else.
    Other,
}

/// The owner of a Secret, as a key sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// This key.
    ThisKey,
    /// An earlier `ApiKey` of the same name. The Secret is about to be garbage-collected.
    EarlierKey,
    /// Nobody: the Secret has no controller.
    Nobody,
    /// Somebody else.
    Other,
}

impl Delivered {
    fn read(metadata: ObjectMeta, written: Written) -> Self {
        let text = |text: Option<String>| text.unwrap_or_default().into_boxed_str();
        let mut annotations = metadata.annotations.unwrap_or_default();
        let mut annotation = |name| {
            let value = annotations.remove(name)?;
            Some(value.chars().take(MAX_ANNOTATION_CHARS).collect())
        };
        let is_labelled = names::are_set(SELECTED_BY, metadata.labels.as_ref());
        let owners = metadata.owner_references.unwrap_or_default();
        let controller = owners.into_iter().find(|o| o.controller == Some(true));
        Self {
            namespace: text(metadata.namespace),
            name: text(metadata.name),
            uid: text(metadata.uid),
            resource_version: text(metadata.resource_version),
            is_deleting: metadata.deletion_timestamp.is_some(),
            is_labelled,
            controller: controller.map(Controller::of),
            entry_digest: annotation(names::ANNOTATION_VERIFIER),
            template: annotation(names::ANNOTATION_TEMPLATE),
            revealed_at: annotation(names::ANNOTATION_REVEALED_AT),
            written,
        }
    }

    /// Its owner, as this key sees it.
    #[must_use]
    pub fn owner(&self, apikey: &ApiKey) -> Ownership {
        let meta = &apikey.metadata;
        match &self.controller {
            Some(Controller::ApiKey { uid, .. }) if Some(&**uid) == meta.uid.as_deref() => {
                Ownership::ThisKey
            }
            Some(Controller::ApiKey { name, .. }) if Some(&**name) == meta.name.as_deref() => {
                Ownership::EarlierKey
            }
            Some(Controller::ApiKey { .. } | Controller::Other) => Ownership::Other,
            None => Ownership::Nobody,
        }
    }

    /// Digest of the entry that its value belongs to, if the value is still what this key
    /// delivered.
    #[must_use]
    pub fn names(&self, apikey: &ApiKey) -> Option<&str> {
        let is_changed = self.written.is_value_changed(apikey);
        self.entry_digest.as_deref().filter(|_| !is_changed)
    }

    /// Whether the other is the same Secret with the same value. Other fields may differ.
    #[must_use]
    pub fn holds_like(&self, other: &Self) -> bool {
        *self
            == Self {
                resource_version: self.resource_version.clone(),
                is_labelled: self.is_labelled,
                template: self.template.clone(),
                written: self.written.clone(),
                ..other.clone()
            }
    }

    /// Name of the `ApiKey` that controls it, if one does.
    #[must_use]
    pub fn owner_name(&self) -> Option<&str> {
        match &self.controller {
            Some(Controller::ApiKey { name, .. }) => Some(name),
            Some(Controller::Other) | None => None,
        }
    }
}

impl Controller {
    fn of(owner: OwnerReference) -> Self {
        if owner.kind == <ApiKey as Resource>::kind(&())
            && owner.api_version.starts_with(names::GROUP)
        {
            Self::ApiKey {
                name: owner.name.into(),
                uid: owner.uid.into(),
            }
        } else {
            Self::Other
        }
    }
}

impl Decode for Delivered {
    fn decode(json: &str) -> Result<Self, Unreadable> {
        let PartialObjectMeta { metadata, .. } = PartialObjectMeta::<Secret>::decode(json)?;
        Ok(Self::read(metadata, Written::read(json)))
    }
}

impl Keep for Delivered {}

impl Lookup for Delivered {
    type DynamicType = ();

    fn kind((): &()) -> Cow<'_, str> {
        <Secret as Resource>::kind(&())
    }
    fn group((): &()) -> Cow<'_, str> {
        <Secret as Resource>::group(&())
    }
    fn version((): &()) -> Cow<'_, str> {
        <Secret as Resource>::version(&())
    }
    fn plural((): &()) -> Cow<'_, str> {
        <Secret as Resource>::plural(&())
    }
    fn name(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.name))
    }
    fn namespace(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.namespace))
    }
    fn resource_version(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.resource_version))
    }
    fn uid(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.uid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apikey_api::ApiKeySpec;

    fn owned(kind: &str, name: &str, uid: &str, is_controller: bool) -> Delivered {
        let owner = OwnerReference {
            api_version: format!("{}/v1alpha1", names::GROUP),
            kind: kind.into(),
            name: name.into(),
            uid: uid.into(),
            controller: is_controller.then_some(true),
            block_owner_deletion: None,
        };
        let metadata = ObjectMeta {
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        };
        Delivered::read(metadata, Written::default())
    }

    #[test]
    fn a_secret_is_whose_controller_it_names_by_uid() {
        let mut apikey = ApiKey::new("ci", ApiKeySpec::default());
        apikey.metadata.uid = Some("uid-1".into());
        let owner = |secret: Delivered| secret.owner(&apikey);
        assert_eq!(
            owner(owned("ApiKey", "ci", "uid-1", true)),
            Ownership::ThisKey
        );
        assert_eq!(
            owner(owned("ApiKey", "ci", "uid-0", true)),
            Ownership::EarlierKey
        );
        assert_eq!(
            owner(owned("ApiKey", "other", "uid-0", true)),
            Ownership::Other
        );
        assert_eq!(
            owner(owned("Widget", "ci", "uid-1", true)),
            Ownership::Other
        );
        assert_eq!(
            owner(owned("ApiKey", "ci", "uid-1", false)),
            Ownership::Nobody
        );
    }
}
