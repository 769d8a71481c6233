//! `inspect`: identifies a secret, a token or an age file without printing it.

mod identify;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use kube::Api;
use kube::api::ListParams;
use kube::core::Request;
use serde_json::{Map, Value};

use self::identify::{Identified, Kind, identify};
use super::exit::{Exit, Failure};
use super::format::Machine;
use super::invocation::Invocation;
use super::terminal::BOLD;
use super::text::styled;
use super::{format, input, jwt, key, pages, select};
use apikey_api::ApiKey;
use apikey_client::object::{Answer, Sent, Stored, Unreadable};

/// Identify a secret, an access token or an encrypted secret.
///
/// Nothing is sent anywhere, and a secret is never printed. For a secret, the output shows whether it has the
/// published format and which key it belongs to. For a token, it shows the claims without checking them (use
/// `verify` to check). For any other text, it shows the secrets that the text contains. The exit code is 5 if
/// nothing is recognized or a secret is mistyped.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Inspect {
    /// A token. `-` or no argument reads standard input. A secret can't be passed as an argument.
    #[arg(value_name = "JWT|-", conflicts_with = "file")]
    text: Option<String>,

    /// File to read.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Find the ApiKey in the cluster: in all namespaces, or in one namespace if you may not read all.
    #[arg(long)]
    find: bool,

    /// Output format for programs.
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
  Find the ApiKey of a leaked secret:
    kubectl apikey inspect --find --file found.txt

  Inspect the clipboard, and keep it out of the history of the shell:
    xclip -o | kubectl apikey inspect

  Show the content of a token:
    kubectl apikey token ci-upload | kubectl apikey inspect";

pub(super) async fn run(flags: &Inspect, call: &mut Invocation) -> Result<(), Failure> {
    let bytes = match (&flags.text, &flags.file) {
        (Some(text), _) if text != "-" => {
            let instead = "Use a pipe, or set --file";
            jwt::refuse_secret(text, instead)?;
            text.clone().into_bytes().into()
        }
        (_, Some(path)) => input::bytes(path, "what to inspect")?,
        (_, None) => input::bytes("-".as_ref(), "what to inspect")?,
    };
    let mut finding = identify(&bytes, call.clock.now());
    let mut owners = Vec::new();
    if flags.find && !finding.key_ids.is_empty() {
        for Stored { identity, object } in find(&finding.key_ids, call).await? {
            let (namespace, name) = (identity.namespace.unwrap_or_default(), identity.name);
            let (phase, revoke) = match object {
                Ok(key) => (key::phase(&key).0, format!("{} revoke", call.program)),
                Err(_) => ("Unreadable".to_owned(), "kubectl delete apikey".to_owned()),
            };
            owners.push(format!("{namespace}/{name} ({phase})"));
            let advice = format!("to revoke it: {revoke} {name} -n {namespace}");
            finding.advice.push(advice);
        }
        let text = if owners.is_empty() {
            "none: revoked, or of another cluster".to_owned()
        } else {
            owners.join(", ")
        };
        finding.facts.push(("ApiKey".to_owned(), text));
    } else if finding.kind == Kind::Secret {
        finding.advice.push(format!(
            "to find its ApiKey: {} inspect --find",
            call.program
        ));
    }
    print(flags, &finding, call)?;
    match &finding.problem {
        Some(problem) => Err(Failure::new(Exit::No, problem.clone())),
        None => Ok(()),
    }
}

fn print(flags: &Inspect, finding: &Identified, call: &mut Invocation) -> Result<(), Failure> {
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
        return call.terminal.exact(&Machine::Json.render(&document)?);
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

/// The keys with these ids, including those that can't be read.
async fn find(ids: &[String], call: &mut Invocation) -> Result<Vec<Stored<ApiKey>>, Failure> {
    let cluster = call.cluster().await?;
    let keys = match list(cluster.all_keys()).await {
        Err(failure) if failure.exit() == Exit::Forbidden => {
            let namespace = &cluster.namespace;
            let text = format!("only namespace '{namespace}' is searched: you may not list others");
            call.terminal.warn(text);
            list(cluster.keys()).await?
        }
        other => other?,
    };
    let mut found = Vec::new();
    for stored in keys {
        let identity = stored.identity.clone();
        let Sent { object, whole } = select::readable(stored)?;
        let sent = format::sent(&whole)?;
        let id = sent.pointer("/status/keyId").and_then(Value::as_str);
        if id.is_some_and(|id| ids.iter().any(|wanted| wanted == id)) {
            found.push(Stored { identity, object });
        }
    }
    Ok(found)
}

async fn list(api: Api<Answer<ApiKey>>) -> Result<Vec<Stored<Kept>>, Failure> {
    let target = Request::new(api.resource_url());
    let all = ListParams::default();
    pages::all(api.into_client(), target, "list ApiKeys", all).await
}

/// A key with its full content, whether or not it can be read.
type Kept = Sent<Result<ApiKey, Unreadable>>;
