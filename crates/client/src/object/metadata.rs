//! Metadata without unused fields.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    ManagedFieldsEntry, ObjectMeta, OwnerReference, Time,
};
use serde::Deserialize;

/// Metadata as it is decoded: without finalizers, and with only the managers of `managedFields`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    namespace: Option<String>,
    name: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
    managed_fields: Option<Vec<Manager>>,
}

/// One entry of `managedFields`.
#[derive(Debug, Deserialize)]
struct Manager {
    manager: Option<String>,
}

impl From<Metadata> for ObjectMeta {
    fn from(read: Metadata) -> Self {
        let managers = read.managed_fields.map(|entries| {
            let entries = entries.into_iter().map(|entry| ManagedFieldsEntry {
                manager: entry.manager,
                ..ManagedFieldsEntry::default()
            });
            entries.collect()
        });
        Self {
            namespace: read.namespace,
            name: read.name,
            uid: read.uid,
            resource_version: read.resource_version,
            generation: read.generation,
            creation_timestamp: read.creation_timestamp,
            deletion_timestamp: read.deletion_timestamp,
            labels: read.labels,
            annotations: read.annotations,
            owner_references: read.owner_references,
            managed_fields: managers,
            ..Self::default()
        }
    }
}
