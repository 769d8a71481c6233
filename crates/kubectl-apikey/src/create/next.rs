//! Prints what to do with a new key, and its secret if requested.

use zeroize::Zeroizing;

use super::Create;
use crate::exit::Failure;
use crate::invocation::{Cluster, Invocation};
use crate::terminal::{BOLD, DIM};
use crate::text::styled;
use crate::{key, program, time};
use apikey_api::{ApiKey, names::data};
use apikey_client::error::request;
use apikey_client::object::Answer;
use apikey_credential::Secret;

pub(super) async fn print(
    call: &mut Invocation,
    cluster: &Cluster,
    key: &ApiKey,
    flags: &Create,
    shows: bool,
) -> Result<(), Failure> {
    if let Some(end) = key::expires_at(key) {
        let when = time::relative(end, call.clock.now());
        call.terminal.note(format!("It expires {end} ({when})."));
    }
    let how = program::with_name(&hint(key, &cluster.namespace), &call.program);
    if !shows || key.reveals_once() || !flags.recipients.is_empty() {
        call.terminal.note(how);
        return Ok(());
    }
    let secret = delivered(cluster, key).await?;
    if flags.show_secret {
        return call.terminal.exact(secret.expose());
    }
    let login = key.login_name();
    call.terminal
        .print(styled(BOLD, "name") + format!("   {login}"))?;
    call.terminal
        .print(styled(BOLD, "secret") + format!(" {}", secret.expose()))?;
    let once = "The secret is shown once. It stays in the Secret, for programs and for people who \
                may read it.";
    call.terminal.note(once);
    call.terminal.note(styled(DIM, how));
    Ok(())
}

/// Explains how to get the secret.
fn hint(key: &ApiKey, namespace: &str) -> String {
    let secret = key.secret_name();
    let read = |data: &str| {
        format!(
            "kubectl get secret {secret} -n {namespace} -o jsonpath='{{.data.{data}}}' | base64 -d"
        )
    };
    let encrypted = key
        .spec
        .secret
        .as_ref()
        .is_some_and(|s| !s.recipients.is_empty());
    if key.reveals_once() {
        let claim = key::call(key, "reveal");
        return format!("Next, claim the secret, once: {claim}");
    }
    if encrypted {
        let read = read(&data::SECRET_AGE.replace('.', "\\."));
        return format!("Next, read the secret: {read} | age -d -i KEY-FILE");
    }
    format!(
        "Next, mount Secret {secret}, or read it: {}",
        read(data::SECRET)
    )
}

/// Reads the delivered secret.
async fn delivered(cluster: &Cluster, key: &ApiKey) -> Result<Secret, Failure> {
    let name = key.secret_name();
    let Answer(found) = request("read the Secret", cluster.secrets().get(name)).await?;
    let text = found.data.and_then(|mut data| data.remove(data::SECRET));
    let text = text
        .and_then(|bytes| String::from_utf8(bytes.0).ok())
        .map(Zeroizing::new);
    let secret = text.and_then(|text| Secret::parse(&text).ok());
    secret.ok_or_else(|| {
        Failure::failed(format!(
            "Secret '{name}' has no secret of the operator in data key '{}': see `{}`",
            data::SECRET,
            key::call(key, "status")
        ))
    })
}
