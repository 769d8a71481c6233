//! The flags of `create`.

use clap::{ArgAction, Args, ValueEnum};
use k8s_openapi::jiff::SignedDuration;

use super::values::{self, Expiry, SubOrg};
use crate::format::Machine;
use crate::revoke::DryRun;
use crate::time;

/// Create a key and wait until it is ready.
///
/// On a terminal, the program asks for missing values and offers the organizations and roles of the cluster.
/// Without a terminal, the name, --org and --role are required.
///
/// The secret is in the delivered Secret. It is printed only with --show-secret, or once after a dialogue.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Create {
    /// Name of the key. It is also the login name, unless --login-name is given.
    #[arg(value_name = "NAME")]
    pub(super) name: Option<String>,

    /// Organization that the key belongs to.
    #[arg(long, value_name = "ORG")]
    pub(super) org: Option<String>,

    /// Role of the key. For several roles, separate them with commas or repeat the flag.
    #[arg(long = "role", value_name = "ROLE", value_delimiter = ',')]
    pub(super) roles: Vec<String>,

    /// When the key expires: a duration from now (90d) or a time (2027-05-24T00:00:00Z). Default: the
    /// organization's default lifetime.
    #[arg(long, value_name = "WHEN", value_parser = values::expiry)]
    pub(super) expires: Option<Expiry>,

    /// Sub-organization in which the key may also act, with its roles there: ORG or ORG=ROLE,ROLE. May be
    /// repeated.
    #[arg(long = "sub-org", value_name = "ORG[=ROLE,..]", value_parser = values::sub_org)]
    pub(super) sub_orgs: Vec<SubOrg>,

    /// Purpose of the key.
    #[arg(long, value_name = "TEXT")]
    pub(super) description: Option<String>,

    /// Login name at the token endpoint. Default: NAME.
    #[arg(long, value_name = "NAME", help_heading = "Secret and tokens")]
    pub(super) login_name: Option<String>,

    /// Name of the delivered Secret. Default: NAME.
    #[arg(long, value_name = "NAME", help_heading = "Secret and tokens")]
    pub(super) secret_name: Option<String>,

    /// Lifetime of the tokens, from 60s to 24h. Default: 1h, or the organization's limit if that is less.
    #[arg(long, value_name = "DURATION", value_parser = time::duration,
        help_heading = "Secret and tokens")]
    pub(super) ttl: Option<SignedDuration>,

    /// Audience of the tokens. May be repeated.
    #[arg(
        long = "audience",
        value_name = "AUDIENCE",
        help_heading = "Secret and tokens"
    )]
    pub(super) audiences: Vec<String>,

    /// Rotate the secret on this schedule, in whole days, from 1d to 3650d. Default: rotate only on request.
    #[arg(long, value_name = "DURATION", value_parser = values::days,
        help_heading = "Secret and tokens")]
    pub(super) rotate_every: Option<i32>,

    /// How long a replaced secret stays accepted, at most 90d. 0: it is refused at once. Default: 1h. To
    /// replace a leaked secret, you don't need 0 here: use `kubectl apikey rotate NAME --overlap 0`.
    #[arg(long, value_name = "DURATION", value_parser = values::seconds,
        help_heading = "Secret and tokens")]
    pub(super) overlap: Option<u32>,

    /// Whether the delivered Secret is kept. Default: keep.
    #[arg(long, value_name = "HOW", help_heading = "Secret and tokens")]
    pub(super) delivery: Option<How>,

    /// With reveal-once: how long the secret can be claimed, from 60s to 30d. Default: 1d.
    #[arg(long, value_name = "DURATION", value_parser = values::seconds,
        help_heading = "Secret and tokens")]
    pub(super) reveal_within: Option<u32>,

    /// Public key of age. If set, the secret is delivered only in a form encrypted to it. May be repeated.
    #[arg(
        long = "recipient",
        value_name = "AGE1...",
        value_parser = values::recipient,
        help_heading = "Secret and tokens"
    )]
    pub(super) recipients: Vec<String>,

    /// Print the secret on standard output, and everything else on standard error.
    #[arg(long, conflicts_with_all = ["dry_run", "output"])]
    pub(super) show_secret: bool,

    /// Only show what would be created. `client` needs no cluster.
    #[arg(long, value_name = "WHERE", num_args = 0..=1, require_equals = true,
        default_missing_value = "client")]
    pub(super) dry_run: Option<DryRun>,

    /// Print the object in this format.
    #[arg(short, long, value_name = "FORM")]
    pub(super) output: Option<Machine>,

    /// Wait until the key is ready.
    #[arg(long, default_value_t = true, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", action = ArgAction::Set, value_name = "BOOL")]
    pub(super) wait: bool,

    /// Maximum time to wait.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = time::duration)]
    pub(super) timeout: SignedDuration,
}

/// Whether the delivered Secret is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum How {
    /// The Secret is kept for the lifetime of the key.
    Keep,
    /// The Secret is removed as soon as somebody claims the secret.
    RevealOnce,
}

const EXAMPLES: &str = "\
Examples:
  Answer questions on the terminal:
    kubectl apikey create

  Create a key for a pipeline, valid for 90 days:
    kubectl apikey create ci-upload --org acme --role build-operator --expires 90d

  Write YAML for a repository, without a cluster:
    kubectl apikey create ci-upload --org acme --role build-operator --dry-run -o yaml

  Use the secret in a script at once:
    SECRET=$(kubectl apikey create ci-upload --org acme --role build-operator --show-secret)

  Rotate the secret every 30 days, with an overlap of a day:
    kubectl apikey create ci-upload --org acme --role build-operator \\
        --rotate-every 30d --overlap 1d

  Deliver to one person, encrypted with their public key, to be claimed once:
    kubectl apikey create jane --org acme --role viewer --delivery reveal-once \\
        --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
