//! `reveal`: prints the secret of a key, and claims it if it is revealed only once.

mod claim;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;
use zeroize::Zeroizing;

use super::delivered::{self, DeliveredSecret, Value};
use super::exit::Failure;
use super::format::escaped;
use super::invocation::Invocation;
use super::terminal::Terminal;
use super::text::{self, Text};
use super::{dialogue, input, key, program, select, shell};
use apikey_api::ApiKey;
use apikey_credential::sealed;

/// Print the secret of a key.
///
/// Only the secret is printed on standard output. With `secret.delivery: RevealOnce`, the first call claims
/// the secret: the Secret is removed, and no other copy exists. Of two concurrent calls, one gets the secret
/// and the other ends with code 5. On a terminal, the program asks for confirmation first. Without a
/// terminal, as in a script, it claims the secret with or without --yes.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Reveal {
    /// Name of the key.
    #[arg(value_name = "NAME")]
    name: String,

    /// Don't ask for confirmation before claiming the secret. Without a terminal, there is no question.
    #[arg(short, long)]
    yes: bool,

    /// File with the private key of age that decrypts an encrypted secret. `-` reads standard input.
    #[arg(short, long, value_name = "FILE")]
    identity: Option<PathBuf>,

    /// Output format. Default: only the secret.
    #[arg(short, long, value_name = "FORM")]
    output: Option<Form>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// `export` lines for a shell: API_KEY_NAME and API_KEY_SECRET.
    Env,
    /// JSON with name, secret, keyId, organizationId, tokenUrl and expiresAt.
    Json,
    /// The age file of an encrypted secret, unchanged.
    Age,
}

const EXAMPLES: &str = "\
Examples:
  Write the secret to a variable, to a shell, or to a file that only you can read:
    SECRET=$(kubectl apikey reveal ci-upload)
    eval \"$(kubectl apikey reveal ci-upload -o env)\"
    (umask 077; kubectl apikey reveal ci-upload >secret)

  Claim a secret that is shown once, in a script:
    kubectl apikey reveal one-time --yes -o json | vault kv put kv/one-time -

  Open a secret that was delivered encrypted:
    kubectl apikey reveal sealed --identity ~/.config/age/key.txt
    kubectl apikey reveal sealed -o age | age --decrypt -i key.txt";

pub(super) async fn run(flags: &Reveal, call: &mut Invocation) -> Result<(), Failure> {
    let cluster = call.cluster().await?;
    let key = select::one(&cluster, &flags.name).await?;
    // All checks come before the claim, so that a failed check loses no secret.
    let identity = opener(flags, &key)?;
    if let Some(warning) = warning(&key, call.clock.now()) {
        call.terminal
            .warn(program::with_name(&warning, &call.program));
    }
    let is_claimed = key.reveals_once();
    if is_claimed && Terminal::is_discarded() {
        return Err(Failure::usage(
            "standard output is closed or /dev/null, and a secret that is shown once would be \
             lost: redirect it to a file or a pipe",
        ));
    }
    let delivered = if is_claimed {
        let claim = claim::Claim::new(&cluster, &key);
        claim.look().await?;
        agree(flags, &claim, call)?;
        let delivered = claim.make(call.clock.now()).await?;
        let note = "claimed: the operator removes the Secret, and no other copy of the secret \
                    exists";
        call.terminal.note(note);
        delivered
    } else {
        delivered::read(&cluster, &key).await?
    };
    let text = render(flags, &key, &delivered, identity.as_ref(), call)?;
    if !is_claimed {
        return call.terminal.exact(text.trim_end());
    }
    call.terminal.hand_over(text.trim_end()).map_err(|error| {
        Failure::failed(format!(
            "the secret was claimed and can't be written ({error}), so it is lost: to get a new \
             one, {}",
            key::call(&key, "rotate")
        ))
    })
}

/// Returns the private keys to decrypt the secret with, if it is encrypted and has to be decrypted.
fn opener(flags: &Reveal, key: &ApiKey) -> Result<Option<Zeroizing<String>>, Failure> {
    let encrypted = !key.recipients().is_empty();
    match (&flags.identity, flags.output) {
        (Some(path), Some(Form::Age)) => Err(Failure::usage(format!(
            "-o age prints the encrypted file as it is: leave out --identity {}",
            path.display()
        ))),
        (None, Some(Form::Age)) if !encrypted => Err(Failure::usage(
            "this key has no `secret.recipients`, so its secret is not encrypted: leave out -o age",
        )),
        (None, output) if encrypted && output != Some(Form::Age) => {
            Err(Failure::usage(sealed_advice(key)))
        }
        (Some(path), _) if encrypted => identity(path).map(Some),
        (Some(_) | None, _) => Ok(None),
    }
}

fn sealed_advice(key: &ApiKey) -> String {
    format!(
        "the secret is encrypted for the recipients of the key: give the file with the private key \
         of one (`--identity FILE`), or take the encrypted file and open it elsewhere \
         (`{} -o age | age --decrypt -i FILE`)",
        key::call(key, "reveal")
    )
}

fn identity(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let text = input::text(path, "the identity")?;
    if sealed::has_identity(&text) {
        return Ok(text);
    }
    Err(Failure::usage(sealed::OpenError::NoIdentity.to_string()))
}

/// Returns a warning if the secret of the key may be unusable.
fn warning(key: &ApiKey, now: Timestamp) -> Option<String> {
    if let Some(at) = key::expires_at(key).filter(|at| *at <= now) {
        return Some(format!("the key expired at {at}: its secret is refused"));
    }
    key.spec.suspended.then(|| {
        format!(
            "the key is suspended: its secret is refused until it is resumed (`{}`)",
            key::call(key, "resume")
        )
    })
}

/// Asks for confirmation before a secret is claimed.
fn agree(flags: &Reveal, claim: &claim::Claim<'_>, call: &mut Invocation) -> Result<(), Failure> {
    if flags.yes || !call.terminal.can_ask() {
        return Ok(());
    }
    let name = claim.name();
    let question = format!("Claim the secret of '{name}'? It can be shown once, to one person");
    if dialogue::confirm(&question, false)? {
        return Ok(());
    }
    Err(Failure::failed("not claimed"))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    name: &'a str,
    secret: &'a str,
    key_id: &'a str,
    organization_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<&'a str>,
}

fn render(
    flags: &Reveal,
    key: &ApiKey,
    delivered: &DeliveredSecret,
    identity: Option<&Zeroizing<String>>,
    call: &mut Invocation,
) -> Result<Zeroizing<String>, Failure> {
    let secret = match (&delivered.value, identity) {
        (Value::Clear(secret), _) => secret.clone(),
        (Value::Sealed(file), Some(identity)) => match sealed::open(file, identity) {
            Ok(secret) => secret,
            Err(error) => {
                // The secret may already be claimed, so print the age file instead of losing it.
                let file = String::from_utf8_lossy(file);
                call.terminal.note(Text::lines(file.trim_end().lines()));
                return Err(Failure::no(format!(
                    "{error}. The encrypted secret is above: keep it, and open it with the private \
                     key of a recipient (`age --decrypt -i FILE`)"
                )));
            }
        },
        (Value::Sealed(file), None) if flags.output == Some(Form::Age) => {
            let file = Zeroizing::new(String::from_utf8_lossy(file).into_owned());
            return if text::is_plain(&file) {
                Ok(file)
            } else {
                Err(delivered::changed())
            };
        }
        (Value::Sealed(_), None) => return Err(Failure::no(sealed_advice(key))),
    };
    let is_ours = [&delivered.name, secret.as_str()].map(text::is_visible_ascii);
    Ok(match flags.output {
        None | Some(Form::Age | Form::Env) if is_ours != [true; 2] => {
            return Err(delivered::changed());
        }
        None | Some(Form::Age) => secret,
        Some(Form::Env) => shell::exports(&[
            ("API_KEY_NAME", delivered.name.as_str()),
            ("API_KEY_SECRET", &secret),
        ]),
        Some(Form::Json) => {
            let document = Document {
                name: &delivered.name,
                secret: &secret,
                key_id: &delivered.key_id,
                organization_id: &delivered.organization_id,
                token_url: delivered.token_url.as_deref(),
                expires_at: delivered.expires_at.as_deref(),
            };
            let text = Zeroizing::new(
                serde_json::to_string_pretty(&document)
                    .map_err(|_| Failure::failed("the secret can't be shown as JSON"))?,
            );
            Zeroizing::new(escaped(&text).into_owned())
        }
    })
}
