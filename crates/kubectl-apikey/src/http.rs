//! The HTTP client for the token server. It follows no redirects, so secrets are sent only to the given
//! address. The proxy is the one that kubectl would use, and none for this machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use reqwest::header::RETRY_AFTER;
use reqwest::{Certificate, Client, ClientBuilder, Proxy, Response, Url};
use serde_json::Value;
use zeroize::Zeroizing;

use super::exit::Failure;
use super::input;
use apikey_client::error;
use apikey_client::proxy;

/// Maximum time to wait for a response.
const DEADLINE: Duration = Duration::from_secs(10);
/// Maximum size of a response, in bytes.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// Maximum length of server text that is printed, in characters.
const MAX_MESSAGE_CHARS: usize = 500;

/// Builds a client for this address.
pub(super) fn client(url: &Url) -> Result<Client, Failure> {
    built(builder(url)?)
}

fn builder(url: &Url) -> Result<ClientBuilder, Failure> {
    let builder = Client::builder()
        .timeout(DEADLINE)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("kubectl-apikey/", env!("CARGO_PKG_VERSION")))
        .no_proxy();
    let server = url.origin().ascii_serialization().parse().ok();
    let environment = proxy::Environment::read();
    let Some(address) = server.and_then(|server| environment.proxy_of(&server)) else {
        return Ok(builder);
    };
    if !matches!(address.scheme_str(), Some("http" | "https")) {
        return Err(Failure::failed(format!(
            "the proxy at '{}' can't be used, because only http: and https: proxies are supported: change \
             HTTP_PROXY or HTTPS_PROXY, or add '{}' to NO_PROXY",
            address.host().unwrap_or_default(),
            url.host_str().unwrap_or_default()
        )));
    }
    Ok(builder.proxy(Proxy::all(address.to_string()).map_err(unusable)?))
}

fn built(builder: ClientBuilder) -> Result<Client, Failure> {
    builder.build().map_err(unusable)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "map_err passes the error by value"
)]
fn unusable(error: reqwest::Error) -> Failure {
    Failure::failed(format!("HTTP can't be used: {}", error::chain(&error)))
}

/// How the certificate of the server is verified.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Trust {
    /// PEM file with the certificate authorities to trust instead of those of the system.
    #[arg(long, value_name = "FILE")]
    pub(super) ca_file: Option<PathBuf>,
}

/// A response.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<String>,
    pub(super) body: Zeroizing<String>,
}

impl Answer {
    /// Returns the error that the server reports, in the format of either endpoint.
    pub(super) fn message(&self) -> String {
        let json: Value = serde_json::from_str(&self.body).unwrap_or_default();
        let field = |name: &str| json.get(name).and_then(Value::as_str);
        let message = match (field("error"), field("error_description")) {
            (Some(error), Some(description)) => format!("{error}: {description}"),
            (Some(error), None) => error.to_owned(),
            (None, _) => self.body.trim().to_owned(),
        };
        message.chars().take(MAX_MESSAGE_CHARS).collect()
    }
}

/// An HTTP client with the trusted authorities.
pub(super) struct Http {
    /// Authorities to trust instead of those of the system.
    authorities: Option<Vec<Certificate>>,
}

impl Http {
    pub(super) fn new(trust: &Trust) -> Result<Self, Failure> {
        let authorities = trust.ca_file.as_deref().map(authorities).transpose()?;
        Ok(Self { authorities })
    }

    fn client(&self, url: &Url) -> Result<Client, Failure> {
        built(match &self.authorities {
            Some(authorities) => builder(url)?.tls_certs_only(authorities.clone()),
            None => builder(url)?,
        })
    }

    /// Posts a form, which is wiped afterwards.
    pub(super) async fn post(&self, url: &Url, form: Zeroizing<String>) -> Result<Answer, Failure> {
        let request = self.client(url)?.post(url.clone());
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        answer(url, request.body(Bytes::from_owner(form)).send().await).await
    }

    /// Gets a document.
    pub(super) async fn get(&self, url: &Url) -> Result<Answer, Failure> {
        answer(url, self.client(url)?.get(url.clone()).send().await).await
    }
}

async fn answer(url: &Url, response: reqwest::Result<Response>) -> Result<Answer, Failure> {
    let mut response = response.map_err(|error| unreachable(url, &error))?;
    let retry_after = response.headers().get(RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok());
    let retry_after = retry_after.map(str::to_owned);
    let status = response.status().as_u16();
    let mut body = Zeroizing::new(Vec::with_capacity(16 * 1024));
    loop {
        let chunk = response.chunk().await;
        match chunk.map_err(|error| unreachable(url, &error))? {
            Some(chunk) if body.len() + chunk.len() <= MAX_ANSWER_BYTES => body.extend(&chunk),
            Some(_) => {
                let text = format!("{url} answers with more than {MAX_ANSWER_BYTES} bytes");
                return Err(Failure::failed(text));
            }
            None => break,
        }
    }
    Ok(Answer {
        status,
        retry_after,
        body: Zeroizing::new(String::from_utf8_lossy(&body).into_owned()),
    })
}

/// The failure for a request without a response. Its text covers addresses and certificates, and never a
/// body.
fn unreachable(url: &Url, error: &reqwest::Error) -> Failure {
    if error.is_timeout() {
        return Failure::timed_out(format!(
            "{url} does not answer within {} s",
            DEADLINE.as_secs()
        ));
    }
    let text = error::chain(error);
    let advice = if text.contains("ertificate") {
        "give the certificate of its authority with --ca-file"
    } else {
        "is the address right, and can it be reached from here? From outside a cluster, forward a \
         port to its Service (`kubectl port-forward`) and give --url http://127.0.0.1:PORT"
    };
    Failure::failed(format!("{text}; {advice}"))
}

fn authorities(path: &Path) -> Result<Vec<Certificate>, Failure> {
    let pem = input::bytes(path, "the certificates")?;
    let bad = |why: &str| {
        Failure::usage(format!(
            "{}: {why}; give certificates in PEM (-----BEGIN CERTIFICATE-----)",
            path.display()
        ))
    };
    let certificates = Certificate::from_pem_bundle(&pem);
    let certificates = certificates.map_err(|error| bad(&error::chain(&error)))?;
    if certificates.is_empty() {
        return Err(bad("there is no certificate in it"));
    }
    Ok(certificates)
}

/// Parses an address that the user gave: http or https, without user name, query and fragment.
pub(super) fn address(text: &str) -> Result<Url, String> {
    let bad = || "use an address such as https://keys.example.com".to_owned();
    let url = Url::parse(text).map_err(|_| bad())?;
    let known = matches!(url.scheme(), "http" | "https") && url.has_host();
    let named = !url.username().is_empty() || url.password().is_some();
    if known && !named && url.query().is_none() && url.fragment().is_none() {
        Ok(url)
    } else {
        Err(bad())
    }
}

/// Appends a path to an address.
pub(super) fn under(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}

/// Whether others on the network can read the traffic.
pub(super) fn is_open(url: &Url) -> bool {
    url.scheme() == "http" && !is_this_machine(url)
}

fn is_this_machine(url: &Url) -> bool {
    proxy::is_this_machine(url.host_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_no_user_and_no_query() {
        for good in ["https://keys.example.com", "http://127.0.0.1:8080/base"] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in [
            "keys.example.com",
            "ftp://x",
            "https://u:p@x",
            "https://x?a=b",
            "https://x#f",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_path_is_put_after_that_of_the_base() {
        let base = address("https://x/base/").unwrap();
        assert_eq!(under(&base, "/a").as_str(), "https://x/base/a");
    }

    #[test]
    fn only_this_machine_is_reached_in_the_open_unnoticed() {
        for open in [
            "http://keys.example.com",
            "http://127.evil.com",
            "http://127.0.0.1.evil.com",
            "http://localhost.evil.com",
            "http://128.0.0.1",
            "http://[::2]",
        ] {
            assert!(is_open(&address(open).unwrap()), "{open}");
        }
        for unseen in [
            "http://127.0.0.1:1",
            "http://127.1.2.3",
            "http://[::1]:1",
            "http://localhost",
            "http://LOCALHOST:1",
            "https://keys.example.com",
        ] {
            assert!(!is_open(&address(unseen).unwrap()), "{unseen}");
        }
    }

    #[test]
    fn an_error_is_told_in_the_words_of_the_server() {
        let message = |body: &str| {
            let answer = Answer {
                status: 400,
                retry_after: None,
                body: body.to_owned().into(),
            };
            answer.message()
        };
        assert_eq!(message(r#"{"error":"no"}"#), "no");
        let oauth = r#"{"error":"invalid_scope","error_description":"no such role"}"#;
        assert_eq!(message(oauth), "invalid_scope: no such role");
        assert_eq!(message("<html>\n"), "<html>");
    }
}
