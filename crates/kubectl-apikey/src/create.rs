//! `create`: creates a key from flags or a dialogue.

mod ask;
mod build;
mod flags;
mod next;
mod values;

use std::time::Duration;

use kube::api::PostParams;
use kube::core::Request;

pub(super) use self::flags::Create;
use self::flags::How;
use super::exit::{Exit, Failure};
use super::format::{self, Machine};
use super::invocation::{Cluster, Invocation};
use super::revoke::DryRun;
use super::{key, lint, lost, organization, patch, program, select, wait};
use apikey_api::ApiKey;
use apikey_client::error::{Error, request};
use apikey_client::object::{Answer, Sent};

pub(super) async fn run(flags: Create, call: &mut Invocation) -> Result<(), Failure> {
    refuse_what_cannot_be_shown(&flags, &call.program)?;
    let missing = missing(&flags);
    let asked = !missing.is_empty();
    let flags = if asked {
        if !call.terminal.can_ask() {
            return Err(Failure::usage(format!(
                "missing: {}; add it to the command line, because there is no terminal for \
                 questions",
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
        return print_result(call, &wanted, flags.output, "created (dry run)");
    }
    let cluster = call.cluster().await?;
    let created = create(&cluster, &wanted, flags.dry_run.is_some()).await?;
    if flags.dry_run.is_some() {
        warn(call, &cluster, &created.object).await;
        return print_sent(call, &created, flags.output, "created (server dry run)");
    }
    let shows = flags.show_secret || (asked && call.terminal.shown_to_a_person());
    if flags.show_secret {
        let name = key::name(&created.object);
        call.terminal.note(format!("apikey/{name} created"));
    } else if flags.output.is_none() {
        print_result(call, &created.object, None, "created")?;
    }
    warn(call, &cluster, &created.object).await;
    let ready = if flags.wait || shows {
        let longest = Duration::try_from(flags.timeout).unwrap_or_default();
        wait::until_ready(call, &cluster, key::name(&created.object), longest).await?
    } else {
        created
    };
    if flags.output.is_some() {
        return print_sent(call, &ready, flags.output, "created");
    }
    next::print(call, &cluster, &ready.object, &flags, shows).await
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
            "--show-secret can't be used with --delivery reveal-once: claim the secret with \
             `{program} reveal`"
        )));
    }
    if !flags.recipients.is_empty() {
        return Err(Failure::usage(
            "--show-secret can't be used with --recipient, because only the owner of the private \
             key can open the secret",
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

fn print_sent(
    call: &mut Invocation,
    key: &Sent<ApiKey>,
    form: Option<Machine>,
    what: &str,
) -> Result<(), Failure> {
    match form {
        Some(form) => call
            .terminal
            .exact(&form.render(&format::sent(&key.whole)?)?),
        None => print_result(call, &key.object, None, what),
    }
}

fn print_result(
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
