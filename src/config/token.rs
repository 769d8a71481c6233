//! Flags of the token server.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use ipnet::IpNet;
use k8s_openapi::jiff::SignedDuration;

use super::common::Common;
use crate::server::Limits;
use crate::server::connection::Lifetime;

/// Flags of the token server.
#[derive(Args, Clone, Debug)]
pub struct TokenFlags {
    /// Address for callers.
    #[arg(
        long,
        env = "APIKEY_OPERATOR_TOKEN_LISTEN",
        default_value = "0.0.0.0:8080"
    )]
    pub token_listen: SocketAddr,

    /// Audience of tokens whose key names none, and of the tokens that `/authz` takes (the path
    /// `/authz-with/aud=NAME` asks for another); repeat it for several. Default: the issuer.
    #[arg(
        long,
        env = "APIKEY_OPERATOR_AUDIENCE",
        value_delimiter = ',',
        value_name = "AUD"
    )]
    pub audience: Vec<String>,

    /// Certificate chain in PEM form. With it the server speaks TLS; a changed file is taken in
    /// within 10 seconds.
    #[arg(
        long,
        env = "APIKEY_OPERATOR_TLS_CERT_FILE",
        value_name = "FILE",
        requires = "tls_key_file"
    )]
    pub tls_cert_file: Option<PathBuf>,

    /// Private key of the certificate in PEM form.
    #[arg(
        long,
        env = "APIKEY_OPERATOR_TLS_KEY_FILE",
        value_name = "FILE",
        requires = "tls_cert_file"
    )]
    pub tls_key_file: Option<PathBuf>,

    /// Longest time to serve without hearing from the API server, for example 24h. Expiries hold
    /// exactly in the meantime; deletions and suspensions are not seen. Below 3m, watches are opened
    /// anew more often: three times in that time.
    #[arg(long, env = "APIKEY_OPERATOR_MAX_STALENESS", default_value = "24h",
        value_parser = positive_duration, value_name = "DURATION")]
    pub max_staleness: SignedDuration,

    /// Connections open at the same time. Above it, the one that has waited longest for its caller is
    /// closed for a new one: for a request or its body, or to take an answer. Next come those without
    /// any request, then those whose request takes longer than 5s; new ones wait while there is none.
    #[arg(long, env = "APIKEY_OPERATOR_MAX_CONNECTIONS", default_value_t = 4096,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000), value_name = "N")]
    pub max_connections: u32,

    /// Connections of one source open at the same time: of one IPv4 address, or of one IPv6 /64.
    /// Above it, one of its own is closed for a new one, in the order of --max-connections, and a new
    /// one is closed at once if there is none: one that was just answered is idle 250 ms later.
    /// Networks in --trusted-proxies are exempt. Default: a quarter of --max-connections.
    #[arg(long, env = "APIKEY_OPERATOR_MAX_CONNECTIONS_PER_SOURCE",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000), value_name = "N")]
    pub max_connections_per_source: Option<u32>,

    /// How long a connection without a request is kept. Longer than the idle time of the load
    /// balancer in front, or requests meet a connection that closes.
    #[arg(long, env = "APIKEY_OPERATOR_IDLE_TIMEOUT", default_value = "90s",
        value_parser = positive_duration, value_name = "DURATION")]
    pub idle_timeout: SignedDuration,

    /// How old a connection gets before its caller is asked to open another one.
    #[arg(long, env = "APIKEY_OPERATOR_MAX_CONNECTION_AGE", default_value = "1h",
        value_parser = positive_duration, value_name = "DURATION")]
    pub max_connection_age: SignedDuration,

    /// Networks of proxies whose X-Forwarded-For is believed, with commas, for example 10.0.0.0/8.
    /// Default: none.
    #[arg(
        long,
        env = "APIKEY_OPERATOR_TRUSTED_PROXIES",
        value_delimiter = ',',
        value_parser = network,
        value_name = "CIDR"
    )]
    pub trusted_proxies: Vec<IpNet>,

    /// Refusals that one source address gets per second before it is told to wait, with five times
    /// as many at once. A valid secret is stopped only where argon2id has to check it, while that is
    /// busy.
    #[arg(long, env = "APIKEY_OPERATOR_SOURCE_FAILURES_PER_SECOND", default_value_t = 20,
        value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub source_failures_per_second: u32,

    /// Refusals that all sources together get per second before they are told to wait, with five
    /// times as many at once. A valid secret is stopped only where argon2id has to check it, while
    /// that is busy.
    #[arg(long, env = "APIKEY_OPERATOR_FAILURES_PER_SECOND", default_value_t = 2000,
        value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub failures_per_second: u32,

    /// Keep `status.lastUsedAt` of keys, to within 10 minutes.
    #[arg(long, env = "APIKEY_OPERATOR_RECORD_LAST_USED", num_args = 0..=1,
        default_value_t = true, default_missing_value = "true", require_equals = true,
        action = clap::ArgAction::Set, value_name = "BOOL")]
    pub record_last_used: bool,
}

/// What the token server does, checked and complete.
#[derive(Clone, Debug)]
pub struct TokenServer {
    /// Address for callers.
    pub listen: SocketAddr,
    /// The issuer of tokens.
    pub issuer_url: String,
    /// Audiences of tokens whose key names none.
    pub audiences: Vec<String>,
    /// Certificate and private key, for TLS.
    pub tls_files: Option<(PathBuf, PathBuf)>,
    /// Longest time to serve without hearing from the API server.
    pub max_staleness: SignedDuration,
    /// Limits of connections; networks exempt from them are those whose X-Forwarded-For is believed.
    pub limits: Limits,
    /// Refusals per second and source.
    pub source_failures_per_second: u32,
    /// Refusals per second.
    pub failures_per_second: u32,
    /// Whether `status.lastUsedAt` is kept.
    pub record_last_used: bool,
}

impl TokenFlags {
    /// The checked configuration.
    #[must_use]
    pub fn check(self, common: &Common) -> TokenServer {
        let tls_files = self.tls_cert_file.zip(self.tls_key_file);
        let issuer_url = common.issuer_url.clone().unwrap_or_else(|| {
            let scheme = if tls_files.is_some() { "https" } else { "http" };
            format!("{scheme}://apikey-operator-token.{}.svc", common.namespace)
        });
        let source_connections = self
            .max_connections_per_source
            .unwrap_or_else(|| self.max_connections.div_ceil(4));
        let count = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        TokenServer {
            listen: self.token_listen,
            audiences: if self.audience.is_empty() {
                vec![issuer_url.clone()]
            } else {
                self.audience
            },
            issuer_url,
            tls_files,
            max_staleness: self.max_staleness,
            limits: Limits {
                connections: count(self.max_connections),
                source_connections: count(source_connections),
                exempt: self.trusted_proxies.into(),
                lifetime: Lifetime {
                    idle: self.idle_timeout.unsigned_abs(),
                    max_age: self.max_connection_age.unsigned_abs(),
                },
            },
            source_failures_per_second: self.source_failures_per_second,
            failures_per_second: self.failures_per_second,
            record_last_used: self.record_last_used,
        }
    }
}

fn positive_duration(text: &str) -> Result<SignedDuration, String> {
    let parsed = text.parse::<SignedDuration>().ok();
    parsed
        .filter(SignedDuration::is_positive)
        .ok_or_else(|| "must be a duration like 30m or 24h".into())
}

fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    let parsed = text.parse::<IpNet>().ok().or_else(address);
    parsed.ok_or_else(|| "must be a network like 10.0.0.0/8, or an address".into())
}
