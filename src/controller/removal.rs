//! Removes what is stored of a credential record.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Preconditions};
use kube::core::Request;
use kube::{Resource as _, ResourceExt as _};

use super::context::Context;
use crate::watch::stored::StoredRecord;
use apikey_client::error::{Error, request};

/// Removes the credential record. Returns whether it existed.
///
/// # Errors
/// The request failed, with a conflict if the record has changed.
pub async fn remove(ctx: &Context, record: &StoredRecord) -> Result<bool, Error> {
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: record.metadata.uid.clone(),
            resource_version: record.metadata.resource_version.clone(),
        }),
        ..DeleteParams::default()
    };
    let url = Secret::url_path(&(), Some(&ctx.namespace));
    let delete = Request::new(url).delete(&record.name_any(), &params);
    let delete = delete.map_err(|error| Error::internal("sweep the verifier", &error))?;
    // The response may be the object, which may have any content.
    let deleted = ctx.client.0.request_text(delete);
    match request("sweep the verifier", deleted).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}
