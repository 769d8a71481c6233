//! The requests of a watcher.

use std::time::Duration;

use axum::http::Request;
use kube::Client;
use kube::core::request;
use tokio::time::timeout;

use super::body::{Body, MAX_LINE_BYTES};
use super::error::Error;
use super::event::Ignored;
use super::source::Source;
use apikey_client::error::REQUEST_DEADLINE;
use apikey_client::object::{Decode, Page};

/// Largest page that is accepted; a larger one is requested again in smaller pages. Unit: bytes.
const MAX_PAGE_BYTES: usize = 8 * 1024 * 1024;
/// Longest wait for a page.
const PAGE_DEADLINE: Duration = Duration::from_secs(30);
/// Longest time that the API server may take for a streamed list. Unit: seconds.
const LIST_SECONDS: u32 = 300;

/// The requests of a watcher.
pub(super) struct Requests {
    pub(super) client: Client,
    pub(super) source: Source,
    /// Time after which the API server ends a watch.
    pub(super) timeout_seconds: u32,
}

impl Requests {
    pub(super) async fn stream(&self) -> Result<Body, Error> {
        self.send(self.source.stream(LIST_SECONDS)).await
    }

    pub(super) async fn page<K: Decode>(
        &self,
        limit: u32,
        token: Option<&str>,
    ) -> Result<Page<K>, Error> {
        let body = self.send(self.source.page(limit, token)).await?;
        let most = if limit == 1 {
            MAX_LINE_BYTES
        } else {
            MAX_PAGE_BYTES
        };
        let json = timeout(PAGE_DEADLINE, body.whole(most)).await;
        let json = json.map_err(|_| Error::Silence)??;
        serde_json::from_slice(&json).map_err(|error| Error::no_event(&error))
    }

    pub(super) async fn watch(&self, version: &str) -> Result<Body, Error> {
        self.send(self.source.watch(version, self.timeout_seconds))
            .await
    }

    /// Checks whether the cluster was restored to a state before this version. An API server that
    /// restarts with an older state accepts a future version, and sends nothing until it is
    /// reached.
    pub(super) async fn check(&self, version: &str) -> Result<(), Error> {
        let now = self.page::<Ignored>(1, None).await?;
        forward(version, now.resource_version())
    }

    async fn send(&self, request: Result<Request<Vec<u8>>, request::Error>) -> Result<Body, Error> {
        let failed = |error| Error::Request(Box::new(error));
        let request = request.map_err(|error| failed(kube::Error::BuildRequest(error)))?;
        let answer = timeout(REQUEST_DEADLINE, self.client.request_stream(request)).await;
        let answer = answer.map_err(|_| Error::Silence)?;
        Ok(Body::new(answer.map_err(failed)?))
    }
}

/// Checks the order of versions, which are increasing numbers for one kind (KEP-5504).
pub(super) fn forward(from: &str, to: &str) -> Result<(), Error> {
    match (from.parse::<u64>(), to.parse::<u64>()) {
        (Ok(known), Ok(new)) if new < known => Err(Error::WentBack {
            from: from.to_owned(),
            to: to.to_owned(),
        }),
        _ => Ok(()),
    }
}
