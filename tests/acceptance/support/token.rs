//! The token server as a process, and a plain HTTP client for it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD as BASE64URL};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use apikey_credential::Secret;

use super::credential::Credential;
use super::eventually;
use super::operator::{Arguments, Operator};

/// Name and secret of a key.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) name: String,
    pub(crate) secret: String,
}

impl Login {
    pub(crate) fn of(key: &Credential) -> Self {
        let (name, secret) = (key.data("name"), key.data("secret"));
        Self { name, secret }
    }

    /// The same key with a well-formed secret that it never had. Each `n` gives a different one.
    pub(crate) fn forged(&self, n: u8) -> Self {
        let own = Secret::parse(&self.secret).unwrap();
        Self {
            name: self.name.clone(),
            secret: Secret::from_entropy(own.key_id(), [n; 32])
                .expose()
                .to_owned(),
        }
    }
}

/// A running token server.
pub(crate) struct TokenServer {
    pub(crate) process: Operator,
    pub(crate) address: SocketAddr,
}

impl TokenServer {
    /// Starts a subcommand of `apikey-operator` that serves tokens at this address.
    pub(crate) fn start(
        address: SocketAddr,
        kubeconfig: &Path,
        logs: &Path,
        arguments: Arguments<'_>,
    ) -> Self {
        let listen = address.to_string();
        let more = [&["--token-listen", listen.as_str()], arguments.more].concat();
        let arguments = Arguments {
            more: &more,
            ..arguments
        };
        let process = Operator::start(kubeconfig, logs, arguments);
        Self { process, address }
    }

    /// Waits until it is ready.
    pub(crate) async fn ready(&self) {
        eventually("the token server is ready", async || {
            let (code, _) = self.process.get("/readyz")?;
            (code == 200 && TcpStream::connect(self.address).is_ok()).then_some(())
        })
        .await;
    }

    /// Asks for a token until the server knows the key.
    pub(crate) async fn token_for(&self, key: &Credential) -> Answer {
        let (name, secret) = (key.data("name"), key.data("secret"));
        eventually("the token server knows the key", async || {
            let answer = self.token(&[("name", &name), ("secret", &secret)]);
            (answer.status == 200).then_some(answer)
        })
        .await
    }

    /// The Appcircle-compatible call, with these fields.
    pub(crate) fn token(&self, fields: &[(&str, &str)]) -> Answer {
        self.post("/auth/v1/api-key/token", &[], &form(fields))
    }

    /// The Appcircle-compatible call, for this key.
    pub(crate) fn token_of(&self, key: &Login) -> Answer {
        self.token(&[("name", &key.name), ("secret", &key.secret)])
    }

    /// Introspects a token or secret on behalf of this key.
    pub(crate) fn introspect(&self, caller: &Login, token: &str) -> Answer {
        let fields = [
            ("client_id", caller.name.as_str()),
            ("client_secret", &caller.secret),
            ("token", token),
        ];
        self.post("/oauth2/introspect", &[], &form(&fields))
    }

    /// POSTs a form.
    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let form = ("Content-Type", "application/x-www-form-urlencoded");
        self.send("POST", path, &[&[form], headers].concat(), body.as_bytes())
    }

    /// GETs a path.
    pub(crate) fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers, b"")
    }

    /// Sends a request on a connection of its own and reads the whole answer.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        send(self.address, method, path, headers, body)
    }
}

/// Sends a request on a connection of its own and reads the whole answer.
pub(crate) fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    write!(head, "Content-Length: {}\r\n\r\n", body.len()).unwrap();
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    Answer::parse(&answer)
}

/// A local address that is free, and that no other call returns.
pub(crate) fn free_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, controlplane::free_port().unwrap()).into()
}

/// Encodes fields as a form.
pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
    let pairs = fields
        .iter()
        .map(|(k, v)| format!("{}={}", encode(k), encode(v)));
    pairs.collect::<Vec<_>>().join("&")
}

/// The Authorization header of Basic authentication (RFC 6749 section 2.3.1).
pub(crate) fn basic(name: &str, secret: &str) -> String {
    let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
    let pair = format!("{}:{}", encode(name), encode(secret));
    format!("Basic {}", BASE64.encode(pair))
}

/// An HTTP response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("a whole answer");
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers = lines.map(|line| line.split_once(": ").unwrap());
        Self {
            status: status.parse().unwrap(),
            headers: headers
                .map(|(k, v)| (k.to_lowercase(), v.to_owned()))
                .collect(),
            body: body.to_owned(),
        }
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// The token in the response. Panics if there is none.
    pub(crate) fn access_token(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// The claims of the token in the response. The signature is not checked.
    pub(crate) fn claims(&self) -> Value {
        part_of(&self.access_token(), 1)
    }

    /// The response without the header that depends on the time.
    pub(crate) fn without_date(mut self) -> Self {
        self.headers.remove("date");
        self
    }
}

/// A part of a JWT, as JSON.
pub(crate) fn part_of(token: &str, part: usize) -> Value {
    let encoded = token.split('.').nth(part).unwrap();
    serde_json::from_slice(&BASE64URL.decode(encoded).unwrap()).unwrap()
}
