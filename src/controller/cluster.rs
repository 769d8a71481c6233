//! Requests to the API server.

use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{GetParams, PostParams};
use kube::core::{PartialObjectMeta, Request};
use kube::{Api, Client, Resource as _};

use apikey_api::{ApiKey, KeyRef, Organization, names};
use apikey_client::error::{Error, request};
use apikey_client::object::{Answer, Decode};

/// Parameters of every create and update; they set the field manager.
#[must_use]
pub(crate) fn post_params() -> PostParams {
    PostParams {
        field_manager: Some(names::FIELD_MANAGER.into()),
        ..PostParams::default()
    }
}

/// The API server, and where the operator keeps its own objects in it.
#[derive(Clone)]
pub(crate) struct Cluster {
    /// Client for writes, and for occasional reads.
    pub(crate) client: Client,
    /// Namespace of the operator.
    pub(crate) namespace: Arc<str>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// API of the keys in a namespace.
    #[must_use]
    pub(crate) fn apikeys_in(&self, namespace: &str) -> Api<Answer<ApiKey>> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// API of the organizations.
    #[must_use]
    pub(crate) fn organizations(&self) -> Api<Answer<Organization>> {
        Api::all(self.client.clone())
    }

    /// API of the credential records, without unneeded metadata.
    #[must_use]
    pub(crate) fn records(&self) -> Api<Answer<Secret>> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Requests about the Secrets of the operator's namespace.
    #[must_use]
    pub(crate) fn own_secrets(&self) -> Request {
        Request::new(Secret::url_path(&(), Some(&self.namespace)))
    }

    /// Reads the key of this name and uid from the API server, without the cache.
    ///
    /// # Errors
    /// The request failed.
    pub(crate) async fn find_apikey(
        &self,
        reference: &KeyRef,
        uid: &str,
    ) -> Result<Option<PartialObjectMeta<ApiKey>>, Error> {
        let url = ApiKey::url_path(&(), Some(&reference.namespace));
        let found = self.metadata(url, &reference.name);
        let found: Option<PartialObjectMeta<ApiKey>> =
            request("look for the ApiKey", found).await?;
        Ok(found.filter(|apikey| apikey.metadata.uid.as_deref() == Some(uid)))
    }

    /// Reads the metadata of an object from the API server.
    ///
    /// # Errors
    /// The request failed, or the metadata can't be read.
    pub(crate) async fn metadata<T: Decode>(
        &self,
        url_path: String,
        name: &str,
    ) -> Result<Option<T>, kube::Error> {
        let get = Request::new(url_path).get_metadata(name, &GetParams::default());
        let get = get.map_err(kube::Error::BuildRequest)?;
        match self.client.request::<Answer<T>>(get).await {
            Ok(Answer(found)) => Ok(Some(found)),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}
