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
