//! `inspect`: what a secret, token or age file is, without printing it back.

mod identify;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use kube::api::ListParams;
use serde_json::{Map, Value};

use self::identify::{Finding, Kind, identify};
use super::exit::{Exit, Failure};
use super::invocation::Invocation;
use super::terminal::{BOLD, styled};
use super::{input, jwt, key, select};
use crate::api::ApiKey;

/// Say what a secret, an access token or an encrypted secret is.
///
/// Nothing is sent anywhere, and a secret is not printed back. Of a secret it says whether it has the
/// published format and whose it is; of a token what it claims, unchecked (`verify` checks it); of any
/// other text which secrets are in it. Ends with code 5 if nothing is recognised, or a secret is
/// mistyped.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Inspect {
    /// A token; `-`, or nothing, reads standard input. A secret is never an argument.
    #[arg(value_name = "JWT|-", conflicts_with = "file")]
    text: Option<String>,

    /// File to read.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Ask the cluster which ApiKey it is of, in all namespaces or, if you may not, in one.
    #[arg(long)]
    find: bool,

    /// Form for programs.
    #[arg(short, long, value_name = "FORM")]
    output: Option<Form>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// JSON.
    Json,
}

const EXAMPLES: &str = "\
Examples:
  A secret that was found somewhere: what is to be revoked?
    kubectl apikey inspect --find --file found.txt

  From the clipboard, without its being in the history of the shell:
    xclip -o | kubectl apikey inspect

  What is in a token:
    kubectl apikey token ci-upload | kubectl apikey inspect";

pub(super) async fn run(flags: &Inspect, call: &mut Invocation) -> Result<(), Failure> {
    let bytes = match (&flags.text, &flags.file) {
        (Some(text), _) if text != "-" => {
            let instead = "Send it through a pipe, or give --file";
            jwt::refuse_secret(text, instead)?;
            text.clone().into_bytes().into()
        }
        (_, Some(path)) => input::bytes(path, "what to inspect")?,
        (_, None) => input::bytes("-".as_ref(), "what to inspect")?,
    };
    let mut finding = identify(&bytes, call.clock.now());
    let mut owners = Vec::new();
    if flags.find && !finding.key_ids.is_empty() {
        for key in find(&finding.key_ids, call).await? {
            let place = format!("{}/{}", key::namespace(&key), key::name(&key));
            let (phase, _) = key::phase(&key);
            owners.push(format!("{place} ({phase})"));
            let (namespace, name) = (key::namespace(&key), key::name(&key));
            finding.advice.push(format!(
                "to revoke it: {} revoke {name} -n {namespace}",
                call.program
            ));
        }
        let text = if owners.is_empty() {
            "none: revoked, or of another cluster".to_owned()
        } else {
            owners.join(", ")
        };
        finding.facts.push(("ApiKey".to_owned(), text));
    } else if finding.kind == Kind::Secret {
        finding.advice.push(format!(
            "to learn which ApiKey it is of: {} inspect --find",
            call.program
        ));
    }
    say(flags, &finding, call)?;
    match &finding.problem {
        Some(problem) => Err(Failure::new(Exit::No, problem.clone())),
        None => Ok(()),
    }
}

fn say(flags: &Inspect, finding: &Finding, call: &mut Invocation) -> Result<(), Failure> {
    if flags.output == Some(Form::Json) {
        let facts = finding.facts.iter();
        let facts: Map<String, Value> = facts
            .map(|(name, value)| (name.clone(), value.as_str().into()))
            .collect();
        let document = serde_json::json!({
            "kind": finding.kind.as_str(),
            "keyIds": finding.key_ids,
            "facts": facts,
        });
        let text = serde_json::to_string_pretty(&document);
        let text = text.map_err(|_| Failure::failed("it can't be shown as JSON"))?;
        return call.terminal.print(text);
    }
    call.terminal.print(styled(BOLD, finding.kind.words()))?;
    for (name, value) in &finding.facts {
        call.terminal.print(format!("  {name}: {value}"))?;
    }
    for advice in &finding.advice {
        call.terminal.note(advice);
    }
    Ok(())
}

/// The keys with these ids.
async fn find(ids: &[String], call: &mut Invocation) -> Result<Vec<ApiKey>, Failure> {
    let cluster = call.cluster().await?;
    let all = select::list(cluster.all_keys(), "list ApiKeys", ListParams::default()).await;
    let keys = match all {
        Err(failure) if failure.exit() == Exit::Forbidden => {
            let namespace = &cluster.namespace;
            let text = format!("only namespace '{namespace}' is searched: you may not list others");
            call.terminal.warn(text);
            select::list(cluster.keys(), "list ApiKeys", ListParams::default()).await?
        }
        other => other?,
    };
    let wanted = |key: &ApiKey| {
        let status = key.status.as_ref();
        let id = status.and_then(|status| status.key_id.as_ref());
        id.is_some_and(|id| ids.contains(id))
    };
    Ok(keys.objects.into_iter().filter(wanted).collect())
}
