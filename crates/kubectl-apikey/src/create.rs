//! `create`: creates a key from flags or a dialogue.

mod ask;
mod build;
mod next;

use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};
use k8s_openapi::jiff::SignedDuration;
use kube::api::PostParams;
use kube::core::Request;

use self::build::{Expiry, SubOrg};
use super::exit::{Exit, Failure};
use super::format::{self, Machine};
use super::invocation::{Cluster, Invocation};
use super::revoke::DryRun;
use super::{key, lint, lost, organization, patch, program, select, time, wait};
use apikey_api::ApiKey;
use apikey_client::error::{Error, request};
use apikey_client::object::{Answer, Sent};

/// Create a key and wait until it is ready.
///
/// On a terminal, the program asks for missing values and offers the organizations and roles of the cluster.
/// Without a terminal, the name, --org and --role are required.
///
/// The secret is in the delivered Secret. It is printed only with --show-secret, or once after a dialogue.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = EXAMPLES)]
pub(super) struct Create {
    /// Name of the key. It is also the login name, unless --login-name is given.
    #[arg(value_name = "NAME")]
    name: Option<String>,

    /// Organization that the key belongs to.
    #[arg(long, value_name = "ORG")]
    org: Option<String>,

    /// Role of the key. For several roles, separate them with commas or repeat the flag.
    #[arg(long = "role", value_name = "ROLE", value_delimiter = ',')]
    roles: Vec<String>,

    /// When the key expires: a duration from now (90d) or a time (2027-05-24T00:00:00Z). Default: the
    /// organization's default lifetime.
    #[arg(long, value_name = "WHEN", value_parser = build::expiry)]
    expires: Option<Expiry>,

    /// Sub-organization in which the key may also act, with its roles there: ORG or ORG=ROLE,ROLE. May be
    /// repeated.
    #[arg(long = "sub-org", value_name = "ORG[=ROLE,..]", value_parser = build::sub_org)]
    sub_orgs: Vec<SubOrg>,

    /// Purpose of the key.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// Login name at the token endpoint. Default: NAME.
    #[arg(long, value_name = "NAME", help_heading = "Secret and tokens")]
    login_name: Option<String>,

    /// Name of the delivered Secret. Default: NAME.
    #[arg(long, value_name = "NAME", help_heading = "Secret and tokens")]
    secret_name: Option<String>,

    /// Lifetime of the tokens, from 60s to 24h. Default: 1h, or the organization's limit if that is less.
    #[arg(long, value_name = "DURATION", value_parser = time::duration,
        help_heading = "Secret and tokens")]
    ttl: Option<SignedDuration>,

    /// Audience of the tokens. May be repeated.
    #[arg(
        long = "audience",
        value_name = "AUDIENCE",
        help_heading = "Secret and tokens"
    )]
    audiences: Vec<String>,

    /// Rotate the secret on this schedule, in whole days, from 1d to 3650d. Default: rotate only on request.
    #[arg(long, value_name = "DURATION", value_parser = build::days,
        help_heading = "Secret and tokens")]
    rotate_every: Option<i32>,

    /// How long a replaced secret stays accepted, at most 90d. 0: it is refused at once. Default: 1h. To
    /// replace a leaked secret, you don't need 0 here: use `kubectl apikey rotate NAME --overlap 0`.
    #[arg(long, value_name = "DURATION", value_parser = build::seconds,
        help_heading = "Secret and tokens")]
    overlap: Option<u32>,

    /// Whether the delivered Secret is kept. Default: keep.
    #[arg(long, value_name = "HOW", help_heading = "Secret and tokens")]
    delivery: Option<How>,

    /// With reveal-once: how long the secret can be claimed, from 60s to 30d. Default: 1d.
    #[arg(long, value_name = "DURATION", value_parser = build::seconds,
        help_heading = "Secret and tokens")]
    reveal_within: Option<u32>,

    /// Public key of age. If set, the secret is delivered only in a form encrypted to it. May be repeated.
    #[arg(
        long = "recipient",
        value_name = "AGE1...",
        value_parser = build::recipient,
        help_heading = "Secret and tokens"
    )]
    recipients: Vec<String>,

    /// Print the secret on standard output, and everything else on standard error.
    #[arg(long, conflicts_with_all = ["dry_run", "output"])]
    show_secret: bool,

    /// Only show what would be created. `client` needs no cluster.
    #[arg(long, value_name = "WHERE", num_args = 0..=1, require_equals = true,
        default_missing_value = "client")]
    dry_run: Option<DryRun>,

    /// Print the object in this format.
    #[arg(short, long, value_name = "FORM")]
    output: Option<Machine>,

    /// Wait until the key is ready.
    #[arg(long, default_value_t = true, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", action = ArgAction::Set, value_name = "BOOL")]
    wait: bool,

    /// Maximum time to wait.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = time::duration)]
    timeout: SignedDuration,
}

/// Whether the delivered Secret is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum How {
    /// The Secret is kept for the lifetime of the key.
    Keep,
    /// The Secret is removed as soon as somebody claims the secret.
    RevealOnce,
}

const EXAMPLES: &str = "\
Examples:
  Ask for everything:
    kubectl apikey create

  For a pipeline, for 90 days:
    kubectl apikey create ci-upload --org acme --role build-operator --expires 90d

  As YAML for a repository, without a cluster:
    kubectl apikey create ci-upload --org acme --role build-operator --dry-run -o yaml

  From a script that needs the secret now:
    SECRET=$(kubectl apikey create ci-upload --org acme --role build-operator --show-secret)

  With a new secret every 30 days, the replaced one accepted for a day:
    kubectl apikey create ci-upload --org acme --role build-operator \\
        --rotate-every 30d --overlap 1d

  For one person, encrypted to their key, to be claimed once:
    kubectl apikey create jane --org acme --role viewer --delivery reveal-once \\
        --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

pub(super) async fn run(flags: Create, call: &mut Invocation) -> Result<(), Failure> {
    refuse_what_cannot_be_shown(&flags, &call.program)?;
    let missing = missing(&flags);
    let asked = !missing.is_empty();
    let flags = if asked {
        if !call.terminal.can_ask() {
            return Err(Failure::usage(format!(
                "missing: {}; give it, there is no terminal to ask on",
                missing.join(", ")
            )));
        }
        ask::complete(flags, call).await?
    } else {
        flags
    };
    let now = call.clock.now();
    let mut wanted = build::apikey(&flags, now)?;
    build::refuse(&lint::refused(&wanted, now)?)?;
    if flags.dry_run == Some(DryRun::Client) {
        wanted
            .metadata
            .namespace
            .clone_from(&call.target().namespace);
        return say(call, &wanted, flags.output, "created (dry run)");
    }
    let cluster = call.cluster().await?;
    let created = create(&cluster, &wanted, flags.dry_run.is_some()).await?;
    if flags.dry_run.is_some() {
        warn(call, &cluster, &created.object).await;
        return say_sent(call, &created, flags.output, "created (server dry run)");
    }
    let shows = flags.show_secret || (asked && call.terminal.shown_to_a_person());
    if flags.show_secret {
        let name = key::name(&created.object);
        call.terminal.note(format!("apikey/{name} created"));
    } else if flags.output.is_none() {
        say(call, &created.object, None, "created")?;
    }
    warn(call, &cluster, &created.object).await;
    let ready = if flags.wait || shows {
        let longest = Duration::try_from(flags.timeout).unwrap_or_default();
        wait::until_ready(call, &cluster, key::name(&created.object), longest).await?
    } else {
        created
    };
    if flags.output.is_some() {
        return say_sent(call, &ready, flags.output, "created");
    }
    next::say(call, &cluster, &ready.object, &flags, shows).await
}

/// Warns if the Organization does not exist, or if parts of the key will be ignored.
async fn warn(call: &mut Invocation, cluster: &Cluster, key: &ApiKey) {
    let around = organization::around(cluster, key).await;
    for text in around.left_out(key) {
        call.terminal.warn(text);
    }
    if let Some(name) = around.missing(key) {
        let missing = organization::missing(cluster, name).await;
        call.terminal.warn(format!(
            "{missing}: the key waits, without a secret, until a cluster administrator creates it"
        ));
    }
}

/// Refuses `--show-secret` if the secret is delivered encrypted or has to be claimed.
fn refuse_what_cannot_be_shown(flags: &Create, program: &str) -> Result<(), Failure> {
    if !flags.show_secret {
        return Ok(());
    }
    if flags.delivery == Some(How::RevealOnce) {
        return Err(Failure::usage(format!(
            "--show-secret does not go with --delivery reveal-once: claim it with `{program} reveal`"
        )));
    }
    if !flags.recipients.is_empty() {
        return Err(Failure::usage(
            "--show-secret does not go with --recipient: only the owner of its private key can open \
             the secret",
        ));
    }
    Ok(())
}

/// The required flags that are missing.
fn missing(flags: &Create) -> Vec<&'static str> {
    let mut missing = Vec::new();
    if flags.name.is_none() {
        missing.push("NAME");
    }
    if flags.org.is_none() {
        missing.push("--org");
    }
    if flags.roles.is_empty() {
        missing.push("--role");
    }
    missing
}

async fn create(
    cluster: &Cluster,
    wanted: &ApiKey,
    dry_run: bool,
) -> Result<Sent<ApiKey>, Failure> {
    let params = PostParams {
        dry_run,
        field_manager: Some(patch::FIELD_MANAGER.to_owned()),
    };
    let write = async || {
        let created = async {
            let body = serde_json::to_vec(wanted).map_err(kube::Error::SerdeError)?;
            let post = Request::new(cluster.keys().resource_url()).create(&params, body);
            let post = post.map_err(kube::Error::BuildRequest)?;
            cluster.client.request::<Answer<Sent<ApiKey>>>(post).await
        };
        let created = request("create the ApiKey", created).await;
        created.map(|Answer(key)| key)
    };
    let name = key::name(wanted);
    let made = async || match select::stored::<Sent<ApiKey>>(cluster, name).await {
        Ok(key) if !dry_run => {
            let key = select::readable(key)?;
            Ok((key.object.spec == wanted.spec).then_some(key))
        }
        Ok(_) => Ok(None),
        Err(failure) if failure.exit() == Exit::NotFound => Ok(None),
        Err(failure) => Err(failure),
    };
    lost::certain(write, made, async |error| {
        refused(error, name, &cluster.namespace)
    })
    .await
}

fn refused(error: Error, name: &str, namespace: &str) -> Failure {
    match error.code() {
        Some(409) => Failure::failed(format!(
            "{error}: choose another name, or look at it with `{}`",
            program::call("status", name, namespace)
        )),
        Some(404) => Failure::not_found(format!(
            "{error}: does namespace '{namespace}' exist, and are the definitions installed \
             (`kubectl apikey check`)?"
        )),
        _ => error.into(),
    }
}

fn say_sent(
    call: &mut Invocation,
    key: &Sent<ApiKey>,
    form: Option<Machine>,
    what: &str,
) -> Result<(), Failure> {
    match form {
        Some(form) => call
            .terminal
            .exact(&form.render(&format::sent(&key.whole)?)?),
        None => say(call, &key.object, None, what),
    }
}

fn say(
    call: &mut Invocation,
    key: &ApiKey,
    form: Option<Machine>,
    what: &str,
) -> Result<(), Failure> {
    match form {
        Some(form) => call.terminal.exact(&form.render(key)?),
        None => call
            .terminal
            .print(format!("apikey/{} {what}", key::name(key))),
    }
}
