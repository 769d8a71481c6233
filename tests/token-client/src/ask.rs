//! One request for a token.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Client, ClientBuilder};
use serde_json::Value;
use zeroize::Zeroizing;

/// The longest wait for an answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// The longest part of an answer in a message.
const MAX_MESSAGE_CHARS: usize = 200;

/// How a request ended.
pub(crate) enum Outcome {
    /// The server answered with a token.
    Answered,
    /// The server gave another answer.
    Refused(String),
    /// There was no answer.
    Failed(String),
}

/// Sends requests over kept or over new connections.
#[derive(Clone)]
pub(crate) struct Asker {
    way: &'static str,
    folder: PathBuf,
    client: Client,
}

impl Asker {
    /// Keeps connections open.
    pub(crate) fn keeping(folder: PathBuf) -> reqwest::Result<Self> {
        Self::new("kept", folder, builder())
    }

    /// Opens a connection for each request.
    pub(crate) fn connecting(folder: PathBuf) -> reqwest::Result<Self> {
        Self::new("new", folder, builder().pool_max_idle_per_host(0))
    }

    fn new(way: &'static str, folder: PathBuf, client: ClientBuilder) -> reqwest::Result<Self> {
        let client = client.build()?;
        Ok(Self {
            way,
            folder,
            client,
        })
    }

    pub(crate) fn way(&self) -> &'static str {
        self.way
    }

    /// Reads the Secret, which may have changed, and requests a token.
    pub(crate) async fn ask(&self) -> Outcome {
        let read = |key| self.read(key);
        let (url, name, secret) = match (read("token-url"), read("name"), read("secret")) {
            (Ok(url), Ok(name), Ok(secret)) => (url, name, secret),
            (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => {
                return Outcome::Failed(format!("the Secret can't be read: {error}"));
            }
        };
        let form = [("name", name.as_str()), ("secret", secret.as_str())];
        let response = match self.client.post(url.as_str()).form(&form).send().await {
            Ok(response) => response,
            Err(error) => return Outcome::Failed(chain(&error)),
        };
        let status = response.status();
        let body = match response.text().await {
            Ok(body) => Zeroizing::new(body),
            Err(error) => return Outcome::Failed(chain(&error)),
        };
        if status.is_success() {
            let answer: Value = serde_json::from_str(&body).unwrap_or_default();
            return match answer.get("access_token").and_then(Value::as_str) {
                Some(token) if !token.is_empty() => Outcome::Answered,
                _ => Outcome::Failed("an answer without a token".to_owned()),
            };
        }
        let message: String = body.chars().take(MAX_MESSAGE_CHARS).collect();
        Outcome::Refused(format!("{} {message}", status.as_u16()))
    }

    fn read(&self, key: &str) -> std::io::Result<Zeroizing<String>> {
        std::fs::read_to_string(self.folder.join(key)).map(Zeroizing::new)
    }
}

/// Trusts no certificate: the addresses are plain HTTP, and the image has no authorities.
fn builder() -> ClientBuilder {
    Client::builder()
        .tls_certs_only([])
        .timeout(DEADLINE)
        .redirect(reqwest::redirect::Policy::none())
}

/// The error and its causes. None of them contains a body.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    let causes: Vec<_> = causes.map(ToString::to_string).collect();
    causes.join(": ")
}
