//! The kinds that are kept in memory, and what is kept of them. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::reflector::Lookup;

use super::event::Event;
use apikey_api::{ApiKey, Organization, names};
use apikey_client::object::{Decode, NamespaceLabels};

/// Length to which annotations are truncated. It exceeds the length of any valid value, so that a
/// truncated value remains invalid. Unit: characters.
const MAX_ANNOTATION_CHARS: usize = 512;

/// A kind that is kept in memory.
pub trait Keep: Decode + Lookup<DynamicType = ()> {
    /// Drops the parts that are not needed after the first read.
    fn prune(&mut self) {}
}

impl Keep for ApiKey {
    fn prune(&mut self) {
        prune(&mut self.metadata);
    }
}

impl Keep for Organization {
    fn prune(&mut self) {
        prune(&mut self.metadata);
    }
}

impl Keep for NamespaceLabels {}

/// Drops metadata that decisions about keys and organizations do not depend on.
pub fn prune(metadata: &mut ObjectMeta) {
    const KEPT: [&str; 4] = [
        names::ANNOTATION_ROTATE_REQUESTED_AT,
        names::ANNOTATION_ROTATE_OVERLAP_SECONDS,
        names::ANNOTATION_ROTATE_OVERLAP_FOR,
        names::ANNOTATION_DISCARD_PREVIOUS,
    ];
    metadata.managed_fields = None;
    metadata.labels = None;
    metadata.owner_references = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.retain(|name, _| KEPT.contains(&name.as_str()));
        for value in annotations.values_mut() {
            if let Some((end, _)) = value.char_indices().nth(MAX_ANNOTATION_CHARS) {
                value.truncate(end);
                value.shrink_to_fit();
            }
        }
        if annotations.is_empty() {
            metadata.annotations = None;
        }
    }
}

/// Drops it from the object of an event.
pub(super) fn prune_event<K: Keep>(event: &mut Event<K>) {
    if let Event::InitApply(stored) | Event::Apply(stored) = event
        && let Ok(object) = &mut stored.object
    {
        object.prune();
    }
}
