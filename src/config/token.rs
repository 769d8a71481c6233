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
    /// Address that callers connect to.
    #[arg(
        long,
        env = "APIKEY_OPERATOR_TOKEN_LISTEN",
        default_value = "0.0.0.0:8080"
    )]
    pub token_listen: SocketAddr,

    /// Audience of the tokens of a key that names none, and of the tokens that `/authz` accepts
    /// (the path `/authz-with/aud=NAME` requires another one). Repeat the flag for several
    /// audiences. Default: the issuer.
    #[arg(
        long,
        env = "APIKEY_OPERATOR_AUDIENCE",
        value_delimiter = ',',
        value_name = "AUD"
    )]
    pub audience: Vec<String>,

    /// Certificate chain in PEM form. If set, the server uses TLS and reloads a changed file within
    /// 10 seconds.
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

    /// How long to keep serving without an update from the API server, for example 24h. In the
    /// meantime keys still expire on time, and deletions and suspensions go unnoticed. Below 3m,
    /// watches are reopened more often: three times within this duration.
    #[arg(long, env = "APIKEY_OPERATOR_MAX_STALENESS", default_value = "24h",
        value_parser = positive_duration, value_name = "DURATION")]
    pub max_staleness: SignedDuration,

    /// Maximum number of open connections. Above it, the server closes old connections to make room
    /// for new ones. It first closes those that have waited longest for their caller: for a request
    /// or its body, or for the caller to receive a response. Next are connections that never had a
    /// request, then those whose request takes longer than 5s. If there are none of these, new
    /// connections wait.
    #[arg(long, env = "APIKEY_OPERATOR_MAX_CONNECTIONS", default_value_t = 4096,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000), value_name = "N")]
    pub max_connections: u32,

    /// Maximum number of open connections of one source: one IPv4 address or one IPv6 /64. Above
    /// it, the server closes connections of the same source, in the order of --max-connections. If
    /// none can be closed, the new connection is closed at once. A connection can be closed 250 ms
    /// after its last response. Networks in --trusted-proxies are exempt. Default: a quarter of
    /// --max-connections.
    #[arg(long, env = "APIKEY_OPERATOR_MAX_CONNECTIONS_PER_SOURCE",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000), value_name = "N")]
    pub max_connections_per_source: Option<u32>,

    /// How long a connection stays open without a request. Set it longer than the idle timeout of
    /// the load balancer in front; otherwise the load balancer may send a request on a connection
    /// that is closing.
    #[arg(long, env = "APIKEY_OPERATOR_IDLE_TIMEOUT", default_value = "90s",
        value_parser = positive_duration, value_name = "DURATION")]
    pub idle_timeout: SignedDuration,

    /// Age of a connection after which its caller is asked to open another one.
    #[arg(long, env = "APIKEY_OPERATOR_MAX_CONNECTION_AGE", default_value = "1h",
        value_parser = positive_duration, value_name = "DURATION")]
    pub max_connection_age: SignedDuration,

    /// Networks of proxies whose X-Forwarded-For header is trusted, separated by commas, for
    /// example 10.0.0.0/8. Default: none.
    #[arg(
        long,
        env = "APIKEY_OPERATOR_TRUSTED_PROXIES",
        value_delimiter = ',',
        value_parser = network,
        value_name = "CIDR"
    )]
    pub trusted_proxies: Vec<IpNet>,

    /// Failed authentications per second that one source address may make before it gets 429, with
    /// a burst of five times as many. A valid secret never gets 429, unless argon2id must check it
    /// and is busy.
    #[arg(long, env = "APIKEY_OPERATOR_SOURCE_FAILURES_PER_SECOND", default_value_t = 20,
        value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub source_failures_per_second: u32,

    /// Failed authentications per second that all sources together may make before they get 429,
    /// with a burst of five times as many. A valid secret never gets 429, unless argon2id must
    /// check it and is busy.
    #[arg(long, env = "APIKEY_OPERATOR_FAILURES_PER_SECOND", default_value_t = 2000,
        value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub failures_per_second: u32,

    /// Record `status.lastUsedAt` of keys, to within 10 minutes.
    #[arg(long, env = "APIKEY_OPERATOR_RECORD_LAST_USED", num_args = 0..=1,
        default_value_t = true, default_missing_value = "true", require_equals = true,
        action = clap::ArgAction::Set, value_name = "BOOL")]
    pub record_last_used: bool,
}

/// The validated configuration of the token server.
#[derive(Clone, Debug)]
pub struct TokenServer {
    /// Address that callers connect to.
    pub listen: SocketAddr,
    /// The issuer of tokens.
    pub issuer_url: String,
    /// Audiences of the tokens of a key that names none.
    pub audiences: Vec<String>,
    /// Certificate and private key, for TLS.
    pub tls_files: Option<(PathBuf, PathBuf)>,
    /// How long to keep serving without an update from the API server.
    pub max_staleness: SignedDuration,
    /// Connection limits. The networks exempt from them are those whose X-Forwarded-For is trusted.
    pub limits: Limits,
    /// Failed authentications per second and source.
    pub source_failures_per_second: u32,
    /// Failed authentications per second.
    pub failures_per_second: u32,
    /// Whether `status.lastUsedAt` is recorded.
    pub record_last_used: bool,
}

impl TokenFlags {
    /// Converts the flags, which are already validated.
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
