//! Flags, their environment variables, and the validated configurations. They are read once; no
//! other module reads the environment.

mod common;
mod controller;
mod token;
mod traces;

use clap::{Args, Parser, Subcommand};

pub use common::{Common, CommonFlags, LogFormat, issuer_path};
pub use controller::{Controller, ControllerFlags};
pub use token::{TokenFlags, TokenServer};
pub use traces::traces_wanted;

/// API keys as Kubernetes objects: an `ApiKey` names an organization, roles and an expiry. This
/// operator mints its secret into a Secret, keeps its status up to date, and exchanges name and
/// secret for short-lived tokens.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    max_term_width = 100,
    after_help = "Exit codes: 0 after a clean shutdown, \
    1 on failure, 2 for wrong usage."
)]
pub struct Cli {
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The command to run.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch ApiKeys and Organizations and reconcile them, until SIGTERM or Ctrl-C.
    ///
    /// The cluster is the one of $KUBECONFIG, or the one this process runs in. The audit log is
    /// written to standard output, all other logs to standard error.
    #[command(after_help = CONTROLLER_EXAMPLES)]
    Controller(Box<ControllerCommand>),
    /// Serve the token endpoint, until SIGTERM or Ctrl-C.
    ///
    /// It exchanges name and secret for a short-lived JWT, publishes the keys that verify the JWT,
    /// and answers gateways. Every replica serves from memory: no request needs the API server.
    #[command(after_help = TOKEN_EXAMPLES)]
    TokenServer(Box<TokenServerCommand>),
    /// Run controller and token server in one process, for development and small clusters.
    ///
    /// In production run them separately: the token server is exposed to callers and needs no
    /// access to the Secrets of tenants.
    Run(Box<RunCommand>),
    /// Print the custom resource definitions, for `kubectl apply --server-side -f -`.
    Crds {
        /// Write one file per kind into this folder instead.
        #[arg(long, value_name = "DIR")]
        out: Option<std::path::PathBuf>,
    },
    /// Print the OpenAPI description of the token server.
    Openapi,
    /// Print the version.
    Version,
}

/// Flags of `controller`.
#[derive(Args, Clone, Debug)]
pub struct ControllerCommand {
    /// Flags of every process.
    #[command(flatten)]
    pub common: CommonFlags,
    /// Flags of the controller.
    #[command(flatten)]
    pub controller: ControllerFlags,
}

/// Flags of `token-server`.
#[derive(Args, Clone, Debug)]
pub struct TokenServerCommand {
    /// Flags of every process.
    #[command(flatten)]
    pub common: CommonFlags,
    /// Flags of the token server.
    #[command(flatten)]
    pub token: TokenFlags,
}

/// Flags of `run`.
#[derive(Args, Clone, Debug)]
pub struct RunCommand {
    /// Flags of every process.
    #[command(flatten)]
    pub common: CommonFlags,
    /// Flags of the controller.
    #[command(flatten)]
    pub controller: ControllerFlags,
    /// Flags of the token server.
    #[command(flatten)]
    pub token: TokenFlags,
}

const CONTROLLER_EXAMPLES: &str = "\
Examples:
  Try it with the current kubeconfig, with credential records in namespace apikeys:
    apikey-operator crds | kubectl apply --server-side -f -
    kubectl create namespace apikeys
    apikey-operator controller --namespace apikeys

  In production, with JSON logs and only the keys of some namespaces:
    apikey-operator controller --log-format json --watch-namespaces builds,deploys";

const TOKEN_EXAMPLES: &str = "\
Examples:
  Next to a controller that uses namespace apikeys:
    apikey-operator token-server --namespace apikeys --admin-listen 0.0.0.0:9091

  For consumers outside the cluster, at the URL that they use:
    apikey-operator token-server --issuer-url https://keys.example.com \\
        --tls-cert-file tls.crt --tls-key-file tls.key

  Then:
    curl https://keys.example.com/auth/v1/api-key/token \\
        --data-urlencode name=ci-upload --data-urlencode secret=\"$SECRET\"";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use apikey_credential::Argon2Cost;

    fn parse(arguments: &[&str]) -> Result<Command, clap::Error> {
        let all = ["apikey-operator"].iter().chain(arguments);
        Ok(Cli::try_parse_from(all)?.command)
    }

    fn run(arguments: &[&str]) -> Result<Box<RunCommand>, clap::Error> {
        let command = parse(&[&["run"], arguments].concat())?;
        let Command::Run(flags) = command else {
            panic!("{command:?}")
        };
        Ok(flags)
    }

    #[test]
    fn the_path_of_an_issuer_is_what_follows_its_host() {
        for (issuer, path) in [
            ("https://a.example", ""),
            ("http://a.example:8080", ""),
            ("http://[::1]:8080/keys", "/keys"),
            ("https://a.example/realms/a-b.c_d~e", "/realms/a-b.c_d~e"),
            ("https://a.example/auth", "/auth"),
        ] {
            let flag = format!("--issuer-url={issuer}");
            let common = run(&[&flag]).unwrap().common.check("ns");
            assert_eq!(issuer_path(&common.issuer_url.unwrap()), path);
        }
    }

    #[test]
    fn the_command_line_is_well_formed_and_every_flag_has_an_environment_twin() {
        Cli::command().debug_assert();
        let command = Cli::command();
        for name in ["controller", "token-server", "run"] {
            let subcommand = command.find_subcommand(name).unwrap();
            for argument in subcommand.get_arguments().filter(|a| a.get_id() != "help") {
                let flag = argument.get_long().unwrap();
                let twin = format!("APIKEY_OPERATOR_{}", flag.replace('-', "_").to_uppercase());
                assert_eq!(argument.get_env().unwrap().to_str(), Some(twin.as_str()));
            }
        }
    }

    #[test]
    fn defaults_are_safe_and_bad_values_are_named() {
        let flags = run(&[]).unwrap();
        let common = flags.common.check("ns");
        let token = flags.token.check(&common);
        let controller = flags.controller.check();
        assert_eq!(controller.argon2, Argon2Cost::default());
        assert!(controller.leader_elect && common.require_organizations);
        assert_eq!(token.issuer_url, "http://apikey-operator-token.ns.svc");
        assert_eq!(token.audiences, [token.issuer_url.as_str()]);
        assert!(common.watched.contains("any"));
        let some = run(&["--watch-namespaces=a,b"]).unwrap().common.check("ns");
        assert!(some.watched.contains("b") && !some.watched.contains("c"));
        let given = run(&["--require-organizations=false", "--leader-elect=false"]).unwrap();
        assert!(!given.common.require_organizations && !given.controller.leader_elect);
        let bare = run(&["--require-organizations"]).unwrap();
        assert!(
            bare.common.require_organizations,
            "as in scripts for earlier versions"
        );
        for bad in [
            "--argon2-memory-kib=4",
            "--email-domain=A b",
            "--namespace=-x",
            "--watch-namespaces=a,B",
            "--issuer-url=keys.example.com",
            "--issuer-url=https://keys.example.com/",
            "--issuer-url=https://keys.example.com?x",
            "--issuer-url=https://keys.example.com//a",
            "--issuer-url=https://keys.example.com/a/../b",
            "--issuer-url=https://keys.example.com/a%2fb",
            "--issuer-url=https://keys.example.com/{a}",
            "--issuer-url=https://keys.example.com/authz",
            "--issuer-url=https://keys.example.com/authz-with/a",
            "--issuer-url=https://keys.example.com/.well-known",
            "--trusted-proxies=10.0.0.0/99",
            "--max-staleness=yesterday",
            "--signing-algorithm=HS256",
            "--tls-cert-file=tls.crt",
        ] {
            let error = run(&[bad]).unwrap_err().to_string();
            let flag = bad.split('=').next().unwrap();
            let other = "--tls-key-file";
            assert!(error.contains(flag) || error.contains(other), "{error}");
        }
    }
}
