//! The write requests for a key. Each stores its response in `observed` and in the caches.

use std::sync::Arc;

use axum::http::HeaderValue;
use axum::http::header::ACCEPT;
use k8s_openapi::api::core::v1::Secret as CoreSecret;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::Request;
use kube::{Resource as _, ResourceExt as _};

use super::model::Observed;
use super::render;
use crate::controller::cache::ListGeneration;
use crate::controller::cluster::{Cluster, post_params};
use crate::controller::delivered::Delivered;
use crate::controller::queues::Queues;
use crate::controller::store::Store;
use crate::watch::stored::StoredRecord;
use apikey_api::{ApiKey, ApiKeyStatus, names};
use apikey_client::error::{Class, Error, request};
use apikey_client::object::{Answer, Decode as _};
use apikey_credential::record::CredentialRecord;

/// The failure if a credential record was stored without the labels by which token servers find it.
const RECORD_RELABELLED: &str = "an admission policy changes its labels, so token servers can't find it: \
                                   exempt the operator's namespace from that policy";
/// The failure if a delivered Secret was stored without the labels by which it is watched.
const DELIVERED_RELABELLED: &str = "an admission policy changes its labels, so the operator can't watch it: \
                                    exempt Secrets of the operator from that policy";

/// Makes the API server respond without the data of the Secret.
const METADATA_ONLY: HeaderValue =
    HeaderValue::from_static("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");

/// Writes to the API server, and stores the responses.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    /// The API server.
    pub(crate) cluster: Cluster,
    /// Stores the responses.
    pub(crate) store: Arc<Store>,
    /// Gets the objects that a response affects.
    pub(crate) queues: Arc<Queues>,
}

impl Writer {
    /// Creates the credential record, or replaces exactly the version that was observed.
    pub(super) async fn write_record(
        &self,
        observed: &mut Observed,
        document: &CredentialRecord,
    ) -> Result<(), Error> {
        let replaces = observed.record.as_ref().map(|record| &record.metadata);
        let secret = StoredRecord::render(document, &self.cluster.namespace, replaces)
            .map_err(|error| Error::internal("write the credential record", &error))?;
        let name = secret.metadata.name.clone().unwrap_or_default();
        let secret = Answer(secret);
        let records = self.cluster.records();
        let params = post_params();
        let generation = self.store.caches.records.generation();
        let Answer(stored) = if replaces.is_some() {
            request(
                "update the credential record",
                records.replace(&name, &params, &secret),
            )
            .await?
        } else {
            request(
                "create the credential record",
                records.create(&params, &secret),
            )
            .await?
        };
        // Later reads return the record as it is stored, and stored times have no fractions of a
        // second.
        let record = StoredRecord::read(stored);
        if !record.is_labelled {
            observed.record = Some(Arc::new(record));
            return Err(Error::held_up(
                "write the credential record",
                RECORD_RELABELLED,
            ));
        }
        self.store.caches.records.insert(generation, record.clone());
        // The key may have been deleted in the meantime, and the watch does not report own writes.
        self.queues.enqueue_record(&record);
        observed.record = Some(Arc::new(record));
        Ok(())
    }

    /// Creates the delivered Secret. Fails with a conflict if a Secret of that name exists. The
    /// response has metadata only.
    pub(super) async fn create(&self, observed: &mut Observed, body: &str) -> Result<(), Error> {
        let doing = "deliver the Secret";
        let namespace = observed.apikey.metadata.namespace.as_deref();
        let url = CoreSecret::url_path(&(), namespace);
        let mut post = Request::new(url)
            .create(&post_params(), body.as_bytes().to_vec())
            .map_err(|error| Error::internal(doing, &error))?;
        post.headers_mut().insert(ACCEPT, METADATA_ONLY);
        let generation = self.store.caches.delivered.generation();
        let Answer(stored) = request(doing, self.send(post)).await?;
        self.store_delivered(observed, generation, stored);
        Ok(())
    }

    /// Sends a request whose response is the metadata of a Secret.
    async fn send(
        &self,
        request: axum::http::Request<Vec<u8>>,
    ) -> Result<Answer<Delivered>, kube::Error> {
        self.cluster.client.request(request).await
    }

    /// Patches the delivered Secret. The response has metadata only.
    async fn patch<P: serde::Serialize + std::fmt::Debug>(
        &self,
        observed: &mut Observed,
        doing: &'static str,
        params: &PatchParams,
        patch: &Patch<P>,
    ) -> Result<(), Error> {
        let apikey = Arc::clone(&observed.apikey);
        let url = CoreSecret::url_path(&(), apikey.metadata.namespace.as_deref());
        let patch = Request::new(url)
            .patch_metadata(apikey.secret_name(), params, patch)
            .map_err(|error| Error::internal(doing, &error))?;
        let generation = self.store.caches.delivered.generation();
        let Answer(stored) = request(doing, self.send(patch)).await?;
        self.store_delivered(observed, generation, stored);
        Ok(())
    }

    fn store_delivered(
        &self,
        observed: &mut Observed,
        generation: ListGeneration,
        stored: Delivered,
    ) {
        self.store
            .caches
            .delivered
            .insert(generation, stored.clone());
        observed.delivered = Some(Arc::new(stored));
    }

    /// Applies this to the delivered Secret (server-side apply). The response has metadata only.
    pub(super) async fn apply(
        &self,
        observed: &mut Observed,
        doing: &'static str,
        manager: &str,
        body: &str,
    ) -> Result<(), Error> {
        // Force, because the fields belong to the operator. Otherwise somebody who edits one of
        // them would block it forever.
        let params = PatchParams::apply(manager).force();
        let document: &serde_json::value::RawValue = serde_json::from_str(body)
            .map_err(|error| Error::internal("write the Secret", &error))?;
        self.patch(observed, doing, &params, &Patch::Apply(document))
            .await
    }

    /// Sends a JSON Patch of these operations to the delivered Secret. The response has metadata
    /// only.
    pub(super) async fn json_patch(
        &self,
        observed: &mut Observed,
        doing: &'static str,
        operations: serde_json::Value,
    ) -> Result<(), Error> {
        let operations = serde_json::from_value(operations)
            .map_err(|error| Error::internal("write the Secret", &error))?;
        let operations = Patch::<()>::Json(operations);
        self.patch(observed, doing, &by_operator(), &operations)
            .await
    }

    /// Puts back the labels by which the delivered Secret is watched.
    pub(super) async fn label_delivered(&self, observed: &mut Observed) -> Result<(), Error> {
        let doing = "put back the labels of the Secret";
        let Some(secret) = observed.own_delivered() else {
            return Ok(());
        };
        let labels = Patch::Merge(render::labels(secret));
        self.patch(observed, doing, &by_operator(), &labels).await?;
        match observed.own_delivered() {
            Some(secret) if !secret.is_labelled => Err(Error::held_up(doing, DELIVERED_RELABELLED)),
            _ => Ok(()),
        }
    }

    /// Makes the key the owner of a delivered Secret, if the Secret is still as observed.
    pub(super) async fn adopt_delivered(&self, observed: &mut Observed) -> Result<(), Error> {
        let apikey = Arc::clone(&observed.apikey);
        let Some(secret) = observed.delivered.as_deref() else {
            return Ok(());
        };
        let adoption = Patch::Merge(render::adoption(&apikey, secret));
        let params = by_operator();
        self.patch(observed, "adopt the Secret", &params, &adoption)
            .await
    }

    /// Removes all values from a delivered Secret that is being deleted. If the Secret can't be
    /// changed, `observed.unemptied` is set.
    pub(super) async fn empty_delivered(&self, observed: &mut Observed) -> Result<(), Error> {
        let Some(secret) = observed.own_delivered() else {
            return Ok(());
        };
        let emptied = Patch::Merge(render::emptied(secret));
        let params = by_operator();
        match self
            .patch(observed, "empty the Secret", &params, &emptied)
            .await
        {
            Err(error) if error.is_not_found() => observed.delivered = None,
            Err(error) if error.class() == Class::Conflict || !error.is_refusal() => {
                return Err(error);
            }
            Err(error) => {
                tracing::warn!(
                    %error,
                    "A finalizer keeps a Secret that has no further use: remove the finalizer"
                );
                observed.unemptied = true;
            }
            Ok(()) => {}
        }
        Ok(())
    }

    /// Removes the delivered Secret, if it is still as observed. If a finalizer keeps the Secret,
    /// `observed` has it as being deleted.
    pub(super) async fn remove_delivered(&self, observed: &mut Observed) -> Result<(), Error> {
        let Some(secret) = observed.own_delivered() else {
            return Ok(());
        };
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(secret.uid.to_string()),
                resource_version: Some(secret.resource_version.to_string()),
            }),
            ..DeleteParams::default()
        };
        let doing = "remove the delivered Secret";
        let url = CoreSecret::url_path(&(), observed.apikey.metadata.namespace.as_deref());
        let mut delete = Request::new(url)
            .delete(observed.apikey.secret_name(), &params)
            .map_err(|error| Error::internal(doing, &error))?;
        delete.headers_mut().insert(ACCEPT, METADATA_ONLY);
        let generation = self.store.caches.delivered.generation();
        let response = match request(doing, self.cluster.client.request_text(delete)).await {
            Ok(response) => response,
            Err(error) if error.is_not_found() => String::new(),
            Err(error) => return Err(error),
        };
        // The response is a Status if the Secret is gone.
        let kept = Delivered::decode(&response)
            .ok()
            .filter(|secret| secret.is_deleting);
        match kept {
            Some(kept) => self.store_delivered(observed, generation, kept),
            None => observed.delivered = None,
        }
        Ok(())
    }

    /// Writes the status once, if it differs.
    pub(super) async fn write_status(
        &self,
        observed: &Observed,
        status: ApiKeyStatus,
    ) -> Result<(), Error> {
        let apikey = &observed.apikey;
        let nothing = ApiKeyStatus::default();
        if apikey.status.as_ref().unwrap_or(&nothing) == &status {
            return Ok(());
        }
        let params = post_params();
        let generation = self.store.caches.apikeys.generation();
        let new = Answer(ApiKey {
            status: Some(status),
            ..ApiKey::clone(apikey)
        });
        let namespace = apikey.metadata.namespace.as_deref().unwrap_or_default();
        let apikeys = self.cluster.apikeys_in(namespace);
        let name = apikey.name_any();
        let written = apikeys.replace_status(&name, &params, &new);
        match request("write the status", written).await {
            Ok(Answer(stored)) => self.store_status(generation, stored),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Stores the response to a status write.
    pub(crate) fn store_status(&self, generation: ListGeneration, stored: ApiKey) {
        let organization = stored.spec.org.clone();
        let Some(changed) = self.store.insert_apikey(generation, stored) else {
            return;
        };
        let quota_index = self.store.quota_index.lock();
        for key in &changed {
            self.queues.enqueue_apikey(&quota_index, key);
        }
        drop(quota_index);
        self.queues.recount.add(&organization);
    }
}

fn by_operator() -> PatchParams {
    PatchParams {
        field_manager: Some(names::FIELD_MANAGER.into()),
        ..PatchParams::default()
    }
}
