//! What to list and watch.

use axum::http::Request;
use kube::Resource;
use kube::api::{ListParams, WatchParams};
use kube::core::{self, request};

/// Objects of one kind, or some of them.
#[derive(Clone, Debug)]
pub struct Source {
    url_path: String,
    metadata_only: bool,
    labels: Option<String>,
    fields: Option<String>,
}

impl Source {
    /// All objects of a kind, or those in a namespace.
    #[must_use]
    pub fn of<K: Resource<DynamicType = ()>>(namespace: Option<&str>) -> Self {
        Self {
            url_path: K::url_path(&(), namespace),
            metadata_only: false,
            labels: None,
            fields: None,
        }
    }

    /// Requests metadata only.
    #[must_use]
    pub fn metadata(mut self) -> Self {
        self.metadata_only = true;
        self
    }

    /// Only the objects that match this label selector.
    #[must_use]
    pub fn labels(mut self, selector: String) -> Self {
        self.labels = Some(selector);
        self
    }

    /// Only the object of this name. A permission for this name is sufficient.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.fields = Some(format!("metadata.name={name}"));
        self
    }

    /// One page of a list of the newest state.
    pub(super) fn page(
        &self,
        limit: u32,
        token: Option<&str>,
    ) -> Result<Request<Vec<u8>>, request::Error> {
        let params = ListParams {
            label_selector: self.labels.clone(),
            field_selector: self.fields.clone(),
            limit: Some(limit),
            continue_token: token.map(ToOwned::to_owned),
            ..ListParams::default()
        };
        let request = core::Request::new(&*self.url_path);
        if self.metadata_only {
            request.list_metadata(&params)
        } else {
            request.list(&params)
        }
    }

    /// A streamed list of the newest state (KEP-3157).
    pub(super) fn stream(&self, timeout_seconds: u32) -> Result<Request<Vec<u8>>, request::Error> {
        let params = WatchParams {
            send_initial_events: true,
            ..self.watch_params(timeout_seconds)
        };
        self.open(&params, "")
    }

    /// The changes after this version.
    pub(super) fn watch(
        &self,
        version: &str,
        timeout_seconds: u32,
    ) -> Result<Request<Vec<u8>>, request::Error> {
        self.open(&self.watch_params(timeout_seconds), version)
    }

    fn watch_params(&self, timeout_seconds: u32) -> WatchParams {
        WatchParams {
            label_selector: self.labels.clone(),
            field_selector: self.fields.clone(),
            timeout: Some(timeout_seconds),
            bookmarks: true,
            send_initial_events: false,
        }
    }

    fn open(
        &self,
        params: &WatchParams,
        version: &str,
    ) -> Result<Request<Vec<u8>>, request::Error> {
        let request = core::Request::new(&*self.url_path);
        if self.metadata_only {
            request.watch_metadata(params, version)
        } else {
            request.watch(params, version)
        }
    }
}
