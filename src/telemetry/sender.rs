//! HTTP client for the OpenTelemetry SDK.

use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use parking_lot::Mutex;
use reqwest::Client;
use tokio::runtime::Handle;
use tokio::time::Instant;

use apikey_client::error;

/// Longest wait for a response of the collector.
const DEADLINE: Duration = Duration::from_secs(10);
/// Longest response that is read. Unit: bytes.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;
/// Interval between two log entries about failures.
const LOG_EVERY: Duration = Duration::from_mins(1);

/// Sends on the runtime of the process, because the SDK calls it from a thread without one.
#[derive(Debug)]
pub(super) struct Sender {
    client: Client,
    runtime: Handle,
    logged_at: Mutex<Option<Instant>>,
}

impl Sender {
    pub(super) fn new(runtime: Handle) -> Result<Self, String> {
        let builder = Client::builder()
            .timeout(DEADLINE)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("apikey-operator/", env!("CARGO_PKG_VERSION")));
        let client = builder.build().map_err(|error| error::chain(&error))?;
        Ok(Self {
            client,
            runtime,
            logged_at: Mutex::default(),
        })
    }

    /// Logs a failure, unless one was logged recently.
    fn log_failure(&self, why: &str) {
        let now = Instant::now();
        let mut logged_at = self.logged_at.lock();
        if logged_at.is_none_or(|at| now - at >= LOG_EVERY) {
            *logged_at = Some(now);
            tracing::warn!(error = why, "Traces can't be sent and may be lost");
        }
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sending = self.runtime.spawn(send(self.client.clone(), request));
        let answer = sending.await?;
        match &answer {
            Ok(answer) if answer.status().is_success() => {}
            Ok(answer) => self.log_failure(&format!("the collector answered {}", answer.status())),
            Err(error) => self.log_failure(&error::chain(error)),
        }
        Ok(answer?)
    }
}

/// Status and headers of the response. The body is read so that the connection can be reused.
async fn send(client: Client, request: Request<Bytes>) -> reqwest::Result<Response<Bytes>> {
    let mut answer = client.execute(request.try_into()?).await?;
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = answer.status();
    *response.headers_mut() = std::mem::take(answer.headers_mut());
    if answer
        .content_length()
        .is_some_and(|length| length <= MAX_ANSWER_BYTES)
    {
        answer.bytes().await?;
    }
    Ok(response)
}
