//! Plain HTTP, for the token server.

use std::time::Duration;

use reqwest::Client;

use super::exit::Failure;

/// Longest wait for an answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// A client that follows no redirect: a secret must not go elsewhere.
pub(super) fn client() -> Result<Client, Failure> {
    let builder = Client::builder()
        .timeout(DEADLINE)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("kubectl-apikey/", env!("CARGO_PKG_VERSION")));
    let client = builder.build();
    client.map_err(|error| Failure::failed(format!("HTTP can't be used: {error}")))
}

/// An error with the causes that it hides.
pub(super) fn told(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
