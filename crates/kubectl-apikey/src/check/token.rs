//! Checks that the token server responds.

use apikey_api::endpoints;
use kube::api::ListParams;
use reqwest::Url;

use super::{Finding, State};
use crate::http;
use crate::invocation::Cluster;
use crate::pages;
use apikey_api::names::data;
use apikey_client::error::{self, request};
use apikey_client::object::Answer;

const NAME: &str = "token server";

pub(super) async fn look(cluster: &Cluster, url: Option<&str>) -> Finding {
    let url = match url {
        Some(url) => Some(url.to_owned()),
        None => delivered(cluster).await,
    };
    match url {
        Some(url) => ask(&base(&url)).await,
        None => Finding::new(NAME, State::Unknown, "its address is not known: give --url"),
    }
}

/// Returns the address in the Secret of any key of the namespace.
async fn delivered(cluster: &Cluster) -> Option<String> {
    let params = ListParams::default();
    let keys = pages::list(cluster.keys(), "list ApiKeys", params)
        .await
        .ok()?;
    let mut names = keys.objects.into_iter().map(|key| key.status?.secret_name);
    let name = names.find_map(|name| name)?;
    let api = cluster.secrets();
    let Answer(secret) = request("read the Secret", api.get(&name)).await.ok()?;
    let mut values = secret.data?;
    String::from_utf8(values.remove(data::TOKEN_URL)?.0).ok()
}

fn base(url: &str) -> String {
    let url = url.trim_end_matches('/');
    url.strip_suffix(endpoints::TOKEN).unwrap_or(url).to_owned()
}

async fn ask(base: &str) -> Finding {
    let fix = "check that the token server runs, and that this address can be reached from here";
    let url = match Url::parse(&format!("{base}{}", endpoints::OPENID_CONFIGURATION)) {
        Ok(url) => url,
        Err(error) => return Finding::failed(NAME, format!("{base}: {error}"), fix),
    };
    let client = match http::client(&url) {
        Ok(client) => client,
        Err(failure) => return Finding::of_failure(NAME, &failure),
    };
    match client.get(url).send().await {
        Ok(answer) if answer.status().is_success() => Finding::ok(NAME, format!("{base} answers")),
        Ok(answer) => Finding::failed(NAME, format!("{base} answers {}", answer.status()), fix),
        Err(error) => Finding::failed(NAME, error::chain(&error), fix),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivered_address_is_brought_to_that_of_the_server() {
        for url in [
            "https://keys.example.com",
            "https://keys.example.com/",
            "https://keys.example.com/auth/v1/api-key/token",
        ] {
            assert_eq!(base(url), "https://keys.example.com");
        }
    }
}
