//! Waiting until a server is of use, by asking it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::error::Error;
use crate::guard::Component;

const POLL_EVERY: Duration = Duration::from_millis(20);
const LOG_TAIL_LINES: usize = 25;
const LOG_LINE_CHARS: usize = 400;

/// A client of one apiserver that trusts only the given CA.
pub(crate) struct Probe {
    agent: Agent,
    url: String,
    authorization: String,
}

impl Probe {
    pub(crate) fn new(url: &str, ca_pem: &str, token: &str) -> Self {
        let roots: Vec<_> = Certificate::from_pem(ca_pem.as_bytes())
            .into_iter()
            .collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&roots))
            .unversioned_rustls_crypto_provider(Arc::new(
                rustls::crypto::aws_lc_rs::default_provider(),
            ))
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .proxy(None)
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(2)))
            .build()
            .into();
        Self {
            agent,
            url: url.to_owned(),
            authorization: format!("Bearer {token}"),
        }
    }

    /// `Ok` if the answer to a GET of `path` is 200. Otherwise a text about the answer.
    pub(crate) fn ok(&self, path: &str) -> std::result::Result<(), String> {
        let url = format!("{}{path}", self.url);
        let mut response = self
            .agent
            .get(&url)
            .header("Authorization", &self.authorization)
            .call()
            .map_err(|error| format!("GET {path}: {error}"))?;
        let body = response.body_mut().read_to_string().unwrap_or_default();
        if response.status() == 200 {
            return Ok(());
        }
        let failing: Vec<_> = body
            .lines()
            .filter(|line| !line.starts_with("[+]"))
            .take(10)
            .collect();
        Err(format!(
            "GET {path} answered {}: {}",
            response.status().as_u16(),
            failing.join("; ")
        ))
    }
}

/// The problem of a component.
pub(crate) struct Fault {
    component: &'static str,
    problem: String,
    log_tail: String,
}

impl Fault {
    pub(crate) fn of(component: &Component, problem: String) -> Self {
        Self {
            component: component.name(),
            problem,
            log_tail: tail(component.log()),
        }
    }

    /// Whether the apiserver lost its port to another process between choosing and binding it.
    pub(crate) fn is_port_taken(&self) -> bool {
        self.log_tail.contains("address already in use")
    }

    /// The error with the folder of the kept logs.
    pub(crate) fn into_error(self, logs: &Path) -> Error {
        Error::NotReady {
            component: self.component,
            problem: self.problem,
            log_tail: self.log_tail,
            logs: logs.to_path_buf(),
        }
    }
}

/// Requests `path` with `probe` until the answer is 200. The function waits for the last of `components`,
/// which is at fault at the `deadline`. Any component that ends before is at fault at once.
pub(crate) fn wait(
    probe: &Probe,
    path: &str,
    components: &mut [&mut Component],
    started: Instant,
    patience: Duration,
) -> std::result::Result<(), Fault> {
    loop {
        let Err(answer) = probe.ok(path) else {
            return Ok(());
        };
        for component in components.iter_mut() {
            if let Some(status) = component.ended() {
                return Err(Fault::of(
                    component,
                    format!("ended before it was ready ({status})"),
                ));
            }
        }
        if started.elapsed() > patience {
            let seconds = patience.as_secs_f32();
            return match components.last() {
                Some(component) => Err(Fault::of(
                    component,
                    format!("was not ready within {seconds} s; last: {answer}"),
                )),
                None => Ok(()),
            };
        }
        thread::sleep(POLL_EVERY);
    }
}

fn tail(log: &Path) -> String {
    let content = fs::read(log).unwrap_or_default();
    let content = String::from_utf8_lossy(&content);
    let lines: Vec<String> = content
        .lines()
        .rev()
        .take(LOG_TAIL_LINES)
        .map(|line| line.chars().take(LOG_LINE_CHARS).collect())
        .collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
