//! Removes a credential record.

use kube::ResourceExt as _;
use kube::api::{DeleteParams, Preconditions};

use super::cluster::Cluster;
use crate::watch::stored::StoredRecord;
use apikey_client::error::{Error, request};

/// Removes the credential record. Returns whether it existed.
///
/// # Errors
/// The request failed, with a conflict if the record has changed.
pub(crate) async fn remove(cluster: &Cluster, record: &StoredRecord) -> Result<bool, Error> {
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: record.metadata.uid.clone(),
            resource_version: record.metadata.resource_version.clone(),
        }),
        ..DeleteParams::default()
    };
    let delete = cluster.own_secrets().delete(&record.name_any(), &params);
    let delete = delete.map_err(|error| Error::internal("remove the credential record", &error))?;
    // The response may be the object, which may have any content.
    let deleted = cluster.client.request_text(delete);
    match request("remove the credential record", deleted).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}
