//! Flags, their environment twins, and the checked [`Config`] they become. Read once; no other
//! module asks the environment.

use std::net::SocketAddr;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::credential::Argon2Cost;
use crate::credential::hash::{MAX_STORED_ITERATIONS, MAX_STORED_MEMORY_KIB};

/// API keys as Kubernetes objects: an `ApiKey` names an organization, roles and an expiry, and this
/// operator mints its secret into a Secret and keeps its status true.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    max_term_width = 100,
    after_help = "Exit codes: 0 after a clean end, \
    1 on failure, 2 for wrong usage."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch ApiKeys and Organizations and reconcile them, until SIGTERM or Ctrl-C.
    ///
    /// The cluster is the one of $KUBECONFIG, or the one this runs in. Audit lines go to standard
    /// output, logs to standard error.
    #[command(after_help = EXAMPLES)]
    Controller(Box<Flags>),
    /// Print the custom resource definitions, for `kubectl apply --server-side -f -`.
    Crds {
        /// Write one file per kind into this folder instead.
        #[arg(long, value_name = "DIR")]
        out: Option<std::path::PathBuf>,
    },
    /// Print the version.
    Version,
}

const EXAMPLES: &str = "\
Examples:
  Try it against the current kubeconfig, writing verifiers to namespace apikeys:
    apikey-operator crds | kubectl apply --server-side -f -
    kubectl create namespace apikeys
    apikey-operator controller --namespace apikeys

  In production, refuse organizations that are not declared:
    apikey-operator controller --require-organizations --log-format json";

/// Flags of the controller.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// Namespace of the operator, which holds verifiers, peppers and the lease. Nobody else should
    /// be able to read its Secrets. Default: the namespace of the kubeconfig context or of the pod.
    #[arg(long, env = "APIKEY_OPERATOR_NAMESPACE", value_parser = namespace)]
    pub namespace: Option<String>,

    /// Address for /livez, /readyz and /metrics.
    #[arg(
        long,
        env = "APIKEY_OPERATOR_ADMIN_LISTEN",
        default_value = "0.0.0.0:9090"
    )]
    pub admin_listen: SocketAddr,

    /// Domain of the e-mail addresses that stand for keys in audit records.
    #[arg(long, env = "APIKEY_OPERATOR_EMAIL_DOMAIN", default_value = "apikeys.internal",
        value_parser = domain)]
    pub email_domain: String,

    /// Refuse keys whose Organization is not declared. Production should set it: without it, such a
    /// key may have any role.
    #[arg(long, env = "APIKEY_OPERATOR_REQUIRE_ORGANIZATIONS", num_args = 0..=1,
        default_value_t = false, default_missing_value = "true", require_equals = true,
        value_name = "BOOL")]
    pub require_organizations: bool,

    /// Let one controller at a time write, elected by a Lease. Several without it waste work and
    /// break nothing.
    #[arg(long, env = "APIKEY_OPERATOR_LEADER_ELECT", num_args = 0..=1,
        default_value_t = true, default_missing_value = "true", require_equals = true,
        action = clap::ArgAction::Set, value_name = "BOOL")]
    pub leader_elect: bool,

    /// Memory for one argon2id hash, in KiB.
    #[arg(long, env = "APIKEY_OPERATOR_ARGON2_MEMORY_KIB", default_value_t = 19_456,
        value_parser = clap::value_parser!(u32).range(8..=i64::from(MAX_STORED_MEMORY_KIB)),
        value_name = "KIB")]
    pub argon2_memory_kib: u32,

    /// Passes of one argon2id hash over its memory.
    #[arg(long, env = "APIKEY_OPERATOR_ARGON2_ITERATIONS", default_value_t = 2,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_STORED_ITERATIONS)),
        value_name = "N")]
    pub argon2_iterations: u32,

    /// Hashes made at the same time. Default: one per core.
    #[arg(long, env = "APIKEY_OPERATOR_HASH_THREADS",
        value_parser = clap::value_parser!(u16).range(1..=256), value_name = "N")]
    pub hash_threads: Option<u16>,

    /// Keys reconciled at the same time.
    #[arg(long, env = "APIKEY_OPERATOR_CONCURRENCY", default_value_t = 32,
        value_parser = clap::value_parser!(u16).range(1..=1024), value_name = "N")]
    pub concurrency: u16,

    /// Export metrics with the namespace and name of each key. Large clusters may want them off.
    #[arg(long, env = "APIKEY_OPERATOR_PER_KEY_METRICS", num_args = 0..=1,
        default_value_t = true, default_missing_value = "true", require_equals = true,
        action = clap::ArgAction::Set, value_name = "BOOL")]
    pub per_key_metrics: bool,

    /// Form of the logs.
    #[arg(long, env = "APIKEY_OPERATOR_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// Level of the logs (error, warn, info, debug, trace), or target=level pairs with commas.
    #[arg(long, env = "APIKEY_OPERATOR_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
}

/// Form of the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// What the controller does, checked and complete.
#[derive(Clone, Debug)]
pub struct Config {
    /// Namespace of the operator.
    pub namespace: String,
    /// Address for health and metrics.
    pub admin_listen: SocketAddr,
    /// Domain of the keys' e-mail addresses.
    pub email_domain: String,
    /// Whether undeclared organizations are refused.
    pub require_organizations: bool,
    /// Whether a Lease decides who writes.
    pub leader_elect: bool,
    /// What one hash costs.
    pub argon2: Argon2Cost,
    /// Hashes made at the same time.
    pub hash_threads: usize,
    /// Keys reconciled at the same time.
    pub concurrency: u16,
    /// Whether metrics name keys.
    pub per_key_metrics: bool,
}

impl Flags {
    /// The checked configuration; `default_namespace` is that of the kubeconfig or pod.
    #[must_use]
    pub fn into_config(self, default_namespace: &str) -> Config {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Config {
            namespace: self
                .namespace
                .unwrap_or_else(|| default_namespace.to_owned()),
            admin_listen: self.admin_listen,
            email_domain: self.email_domain,
            require_organizations: self.require_organizations,
            leader_elect: self.leader_elect,
            argon2: Argon2Cost {
                memory_kib: self.argon2_memory_kib,
                iterations: self.argon2_iterations,
            },
            hash_threads: self.hash_threads.map_or(cores, usize::from),
            concurrency: self.concurrency,
            per_key_metrics: self.per_key_metrics,
        }
    }
}

fn namespace(text: &str) -> Result<String, String> {
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

fn domain(text: &str) -> Result<String, String> {
    let label = |label: &str| namespace(label).is_ok();
    if text.len() <= 189 && text.split('.').all(label) {
        Ok(text.to_owned())
    } else {
        Err("must be a domain name of at most 189 lower-case characters".into())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn flags(arguments: &[&str]) -> Result<Box<Flags>, clap::Error> {
        let all = ["apikey-operator", "controller"].iter().chain(arguments);
        let command = Cli::try_parse_from(all)?.command;
        let Command::Controller(flags) = command else {
            panic!("{command:?}")
        };
        Ok(flags)
    }

    #[test]
    fn the_command_line_is_well_formed_and_every_flag_has_an_environment_twin() {
        Cli::command().debug_assert();
        let command = Cli::command();
        let controller = command.find_subcommand("controller").unwrap();
        for argument in controller.get_arguments().filter(|a| a.get_id() != "help") {
            let flag = argument.get_long().unwrap();
            let twin = format!("APIKEY_OPERATOR_{}", flag.replace('-', "_").to_uppercase());
            assert_eq!(argument.get_env().unwrap().to_str(), Some(twin.as_str()));
        }
    }

    #[test]
    fn defaults_are_safe_and_bad_values_are_named() {
        let config = flags(&[]).unwrap().into_config("ns");
        assert_eq!(config.argon2, Argon2Cost::default());
        assert!(config.leader_elect && !config.require_organizations);
        assert!(!flags(&["--leader-elect=false"]).unwrap().leader_elect);
        assert!(
            flags(&["--require-organizations"])
                .unwrap()
                .require_organizations
        );
        for bad in [
            "--argon2-memory-kib=4",
            "--email-domain=A b",
            "--namespace=-x",
        ] {
            let error = flags(&[bad]).unwrap_err().to_string();
            assert!(error.contains(bad.split('=').next().unwrap()), "{error}");
        }
    }
}
