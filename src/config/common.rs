//! Flags of every process.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};

use crate::watch::scope::WatchedNamespaces;

/// Flags of every process.
#[derive(Args, Clone, Debug)]
pub struct CommonFlags {
    /// Namespace of the operator. It holds the credential records, key rings and the Lease, so
    /// nobody else should be able to read its Secrets. Default: the namespace of the kubeconfig
    /// context or of the pod.
    #[arg(long, env = "APIKEY_OPERATOR_NAMESPACE", value_parser = namespace)]
    pub namespace: Option<String>,

    /// Namespaces whose ApiKeys the operator manages, separated by commas. ApiKeys in other
    /// namespaces are ignored and get no tokens. Set the same value on the controller and the token
    /// server. Default: all.
    #[arg(
        long,
        env = "APIKEY_OPERATOR_WATCH_NAMESPACES",
        value_delimiter = ',',
        value_parser = namespace,
        value_name = "NAMESPACE"
    )]
    pub watch_namespaces: Vec<String>,

    /// Address that serves /livez, /readyz and /metrics.
    #[arg(
        long,
        env = "APIKEY_OPERATOR_ADMIN_LISTEN",
        default_value = "0.0.0.0:9090"
    )]
    pub admin_listen: SocketAddr,

    /// URL at which consumers reach the token server; it is the issuer of the tokens. If set, the
    /// controller adds `token-url` to the Secrets it delivers. Default on the token server: the URL
    /// of its Service, apikey-operator-token.
    #[arg(long, env = "APIKEY_OPERATOR_ISSUER_URL", value_name = "URL", value_parser = issuer_url)]
    pub issuer_url: Option<String>,

    /// Refuse keys whose Organization does not exist. With `false`, such a key may have any role
    /// and audience, and deleting an Organization lifts all limits on its keys: use it only for
    /// trials. Set the same value on the controller and the token server.
    #[arg(long, env = "APIKEY_OPERATOR_REQUIRE_ORGANIZATIONS", num_args = 0..=1,
        default_value_t = true, default_missing_value = "true", require_equals = true,
        action = clap::ArgAction::Set, value_name = "BOOL")]
    pub require_organizations: bool,

    /// Maximum number of argon2id hashes computed or checked at the same time. Default: one per
    /// core.
    #[arg(long, env = "APIKEY_OPERATOR_HASH_THREADS",
        value_parser = clap::value_parser!(u16).range(1..=256), value_name = "N")]
    pub hash_threads: Option<u16>,

    /// Log format.
    #[arg(long, env = "APIKEY_OPERATOR_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// Log level (error, warn, info, debug, trace), or target=level pairs separated by commas.
    #[arg(long, env = "APIKEY_OPERATOR_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
}

/// Log format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line of text, for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The validated configuration that all processes share.
#[derive(Clone, Debug)]
pub struct Common {
    /// Namespace of the operator.
    pub namespace: String,
    /// The namespaces whose keys the operator manages.
    pub watched: WatchedNamespaces,
    /// Address for health and metrics.
    pub admin_listen: SocketAddr,
    /// URL of the token server for consumers, if configured. No trailing slash.
    pub issuer_url: Option<String>,
    /// Whether keys of an undeclared organization are refused.
    pub require_organizations: bool,
    /// Maximum number of hashes computed at the same time.
    pub hash_threads: usize,
}

impl CommonFlags {
    /// Completes the configuration; `default_namespace` is that of the kubeconfig or pod.
    #[must_use]
    pub fn check(self, default_namespace: &str) -> Common {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Common {
            namespace: self
                .namespace
                .unwrap_or_else(|| default_namespace.to_owned()),
            watched: WatchedNamespaces::new(&self.watch_namespaces),
            admin_listen: self.admin_listen,
            issuer_url: self.issuer_url,
            require_organizations: self.require_organizations,
            hash_threads: self.hash_threads.map_or(cores, usize::from),
        }
    }
}

/// Parses a namespace name, which is also one label of a domain.
pub(super) fn namespace(text: &str) -> Result<String, String> {
    let valid = (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    if valid {
        Ok(text.to_owned())
    } else {
        Err("must be a namespace name (a DNS label)".into())
    }
}

/// Parses an issuer as RFC 8414 section 2 defines it: no query and no fragment. Plain http is
/// allowed for use behind a proxy that terminates TLS.
fn issuer_url(text: &str) -> Result<String, String> {
    let parsed = text.parse::<axum::http::Uri>().ok();
    let valid = parsed.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.query().is_none()
    });
    if !valid || text.ends_with('/') || text.contains('#') || text.len() > 255 {
        return Err(
            "must be a URL like https://keys.example.com, without a trailing '/', a query or a fragment"
                .into(),
        );
    }
    let mut segments = issuer_path(text).split('/').skip(1);
    let first = segments.clone().next();
    if !segments.all(is_plain) {
        return Err(
            "must have a path of letters, digits, '-', '.', '_' and '~', without empty or dotted \
             parts, like https://example.com/keys"
                .into(),
        );
    }
    // Below these prefixes a path has another meaning: /authz/PATH asks about a request for PATH.
    if let Some(taken @ ("authz" | "authz-with" | ".well-known")) = first {
        return Err(format!(
            "must have a path that does not begin with /{taken}"
        ));
    }
    Ok(text.to_owned())
}

/// Whether every reader interprets this path segment in the same way.
fn is_plain(segment: &str) -> bool {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    !["", ".", ".."].contains(&segment) && segment.bytes().all(unreserved)
}

/// The path of an issuer: empty, or with a leading slash and no trailing slash.
#[must_use]
pub fn issuer_path(issuer_url: &str) -> &str {
    let address = issuer_url.split_once("://").map_or("", |(_, rest)| rest);
    address.find('/').map_or("", |at| &address[at..])
}
