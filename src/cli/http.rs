//! HTTP for verbs that talk to the token server. Nothing is sent where it was not meant to go: no
//! redirect is followed.
//!
//! A call blocks: nothing else goes on meanwhile.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rustls::crypto::aws_lc_rs;
use serde_json::Value;
use ureq::http::{Response, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};
use zeroize::Zeroizing;

use super::exit::Failure;
use super::input;

/// Longest wait for one answer.
const DEADLINE: Duration = Duration::from_secs(15);
/// Longest answer that is read. Unit: bytes.
const MAX_ANSWER_BYTES: u64 = 1024 * 1024;
/// Longest text of a server that is repeated.
const MAX_SAID_CHARS: usize = 500;

/// How a server is trusted.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Trust {
    /// File with the certificates of the authorities to trust (PEM), in place of those of the system.
    #[arg(long, value_name = "FILE")]
    pub(super) ca_file: Option<PathBuf>,
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<String>,
    pub(super) body: Zeroizing<String>,
}

impl Answer {
    /// What the server says is wrong, in the form of either of its calls.
    pub(super) fn said(&self) -> String {
        let json: Value = serde_json::from_str(&self.body).unwrap_or_default();
        let field = |name: &str| json.get(name).and_then(Value::as_str);
        let said = match (field("error"), field("error_description")) {
            (Some(error), Some(description)) => format!("{error}: {description}"),
            (Some(error), None) => error.to_owned(),
            (None, _) => self.body.trim().to_owned(),
        };
        let printable = said.chars().map(|c| if c.is_control() { ' ' } else { c });
        printable.take(MAX_SAID_CHARS).collect()
    }
}

/// Who talks to a server.
pub(super) struct Http(Agent);

impl Http {
    pub(super) fn new(trust: &Trust) -> Result<Self, Failure> {
        let roots = match &trust.ca_file {
            Some(path) => authorities(path)?,
            None => RootCerts::PlatformVerifier,
        };
        let tls = TlsConfig::builder()
            .root_certs(roots)
            .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(DEADLINE))
            .user_agent(concat!("kubectl-apikey/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self(agent.new_agent()))
    }

    /// Sends a form.
    pub(super) fn post(&self, url: &Uri, form: &str) -> Result<Answer, Failure> {
        let request = self
            .0
            .post(url)
            .content_type("application/x-www-form-urlencoded");
        answer(url, request.send(form))
    }

    /// Asks for a document.
    pub(super) fn get(&self, url: &Uri) -> Result<Answer, Failure> {
        answer(url, self.0.get(url).call())
    }
}

fn answer(url: &Uri, response: Result<Response<Body>, ureq::Error>) -> Result<Answer, Failure> {
    let mut response = response.map_err(|error| unreachable(url, &error))?;
    let retry_after = response.headers().get("retry-after");
    let retry_after = retry_after.and_then(|value| value.to_str().ok());
    let retry_after = retry_after.map(str::to_owned);
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(MAX_ANSWER_BYTES);
    let body = body
        .read_to_string()
        .map_err(|error| unreachable(url, &error))?;
    let body = Zeroizing::new(body);
    Ok(Answer {
        status,
        retry_after,
        body,
    })
}

/// No answer of `url`. What an error says is about addresses and certificates, never about a body.
fn unreachable(url: &Uri, error: &ureq::Error) -> Failure {
    if let ureq::Error::Timeout(_) = error {
        return Failure::timed_out(format!(
            "{url} does not answer within {} s",
            DEADLINE.as_secs()
        ));
    }
    let text = error.to_string();
    let advice = if text.contains("ertificate") {
        "give the certificate of its authority with --ca-file"
    } else {
        "is the address right, and can it be reached from here? From outside a cluster, forward a \
         port to its Service (`kubectl port-forward`) and give --url http://127.0.0.1:PORT"
    };
    Failure::failed(format!("{url}: {text}; {advice}"))
}

fn authorities(path: &Path) -> Result<RootCerts, Failure> {
    let pem = input::bytes(path, "the certificates")?;
    let bad = |why: &str| {
        Failure::usage(format!(
            "{}: {why}; give certificates in PEM (-----BEGIN CERTIFICATE-----)",
            path.display()
        ))
    };
    let mut certificates: Vec<Certificate<'static>> = Vec::new();
    for item in parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(bad(&error.to_string())),
        }
    }
    if certificates.is_empty() {
        return Err(bad("there is no certificate in it"));
    }
    Ok(RootCerts::Specific(Arc::new(certificates)))
}

/// An address that the user gave: http or https, without user name, query and fragment.
pub(super) fn address(text: &str) -> Result<Uri, String> {
    let bad = || "use an address such as https://keys.example.com".to_owned();
    let url: Uri = text.parse().map_err(|_| bad())?;
    let known = matches!(url.scheme_str(), Some("http" | "https"));
    let plain = url
        .authority()
        .is_some_and(|authority| !authority.as_str().contains('@'));
    if known && plain && url.query().is_none() && !text.contains('#') {
        Ok(url)
    } else {
        Err(bad())
    }
}

/// The address with this path after its own.
pub(super) fn under(base: &Uri, path: &str) -> Result<Uri, Failure> {
    let base = base.to_string();
    format!("{}{path}", base.trim_end_matches('/'))
        .parse()
        .map_err(|_| Failure::usage(format!("{base} is no address of a server")))
}

/// Whether what is sent can be read on the way.
pub(super) fn is_open(url: &Uri) -> bool {
    url.scheme_str() == Some("http") && !is_this_machine(url)
}

fn is_this_machine(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default();
    host == "localhost" || host == "[::1]" || host.starts_with("127.")
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
        assert_eq!(under(&base, "/a").unwrap(), "https://x/base/a");
    }

    #[test]
    fn only_this_machine_is_reached_in_the_open_unnoticed() {
        assert!(is_open(&address("http://keys.example.com").unwrap()));
        assert!(!is_open(&address("http://127.0.0.1:1").unwrap()));
        assert!(!is_open(&address("https://keys.example.com").unwrap()));
    }

    #[test]
    fn an_error_is_told_in_the_words_of_the_server() {
        let said = |body: &str| {
            let answer = Answer {
                status: 400,
                retry_after: None,
                body: body.to_owned().into(),
            };
            answer.said()
        };
        assert_eq!(said(r#"{"error":"no"}"#), "no");
        let oauth = r#"{"error":"invalid_scope","error_description":"no such role"}"#;
        assert_eq!(said(oauth), "invalid_scope: no such role");
        assert_eq!(said("<html>\u{1b}[31m"), "<html> [31m");
    }
}
