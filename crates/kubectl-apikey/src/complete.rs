//! `__complete`: prints the words that can come next on a command line, in the format that kubectl expects
//! from plugins. It is the format of cobra: one line per candidate, with a description after a tab, and a
//! directive at the end.
//!
//! kubectl runs `kubectl_complete-apikey`, which calls this verb. Flags and verbs come from the definition of
//! the command line. Names of keys, namespaces and organizations come from the cluster, if it responds in
//! time. Errors are never printed: a completion that fails offers no candidates.
//!
//! Source: kubectl's `plugin_completion.go`, cobra's `completions.go`.

mod line;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Command;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ListParams, PartialObjectMeta};
use kube::config::Kubeconfig;
use kube::{Api, ResourceExt as _};

use self::line::{Candidate, Line, Next};
use super::invocation::{Invocation, Target};
use super::key;
use super::pages::{self, Listed, Unread};
use super::terminal::{Color, Terminal};
use apikey_api::{ApiKey, Organization};
use apikey_client::clock::Clock;
use apikey_client::kubeconfig;
use apikey_client::object::Answer;

/// The verb that kubectl plugins run for completion.
pub(super) const WORD: &str = "__complete";
/// Maximum time to wait for the cluster.
const DEADLINE: Duration = Duration::from_secs(3);
/// Directive: don't offer files in addition to the candidates.
const NO_FILES: u8 = 4;
/// Directive: offer files.
const FILES: u8 = 0;

/// Completes the last of the words after the program name.
pub(super) fn run(command: &Command, program: &str, words: &[OsString]) -> ExitCode {
    let words: Vec<String> = words
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let line = Line::read(command, &words);
    let (candidates, directive) = match line.next() {
        Next::Candidates(candidates) => (candidates, NO_FILES),
        Next::Files => (Vec::new(), FILES),
        Next::Nothing => (Vec::new(), NO_FILES),
        Next::Keys => (ask(&line, program, Asked::Keys), NO_FILES),
        Next::Namespaces => (ask(&line, program, Asked::Namespaces), NO_FILES),
        Next::Organizations => (ask(&line, program, Asked::Organizations), NO_FILES),
        Next::Contexts => (contexts(&line), NO_FILES),
    };
    let mut text = String::new();
    for candidate in line.matching(candidates) {
        text.push_str(&candidate);
        text.push('\n');
    }
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}:{directive}");
    ExitCode::SUCCESS
}

/// What the cluster is asked for.
#[derive(Clone, Copy)]
enum Asked {
    Keys,
    Namespaces,
    Organizations,
}

fn target(line: &Line<'_>) -> Target {
    Target {
        namespace: line.value_of("namespace").map(str::to_owned),
        context: line.value_of("context").map(str::to_owned),
        kubeconfig: line.value_of("kubeconfig").map(Into::into),
        impersonate: line.value_of("impersonate").map(str::to_owned),
        impersonate_groups: Vec::new(),
    }
}

fn ask(line: &Line<'_>, program: &str, asked: Asked) -> Vec<Candidate> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return Vec::new();
    };
    let terminal = Terminal::system(Color::Never);
    let call = Invocation::new(program.to_owned(), terminal, Clock::system(), target(line));
    let answer = runtime.block_on(async {
        tokio::time::timeout(DEADLINE, answer(&call, asked))
            .await
            .ok()
    });
    answer.flatten().unwrap_or_default()
}

async fn answer(call: &Invocation, asked: Asked) -> Option<Vec<Candidate>> {
    let cluster = call.cluster().await.ok()?;
    let all = ListParams::default();
    match asked {
        Asked::Keys => {
            let keys = pages::list(cluster.keys(), "list ApiKeys", all).await;
            Some(candidates(&keys.ok()?, |key: &ApiKey| {
                let (phase, _) = key::phase(key);
                let about = format!("{phase}, of {}", key.spec.org);
                Candidate::new(key::name(key), &about)
            }))
        }
        Asked::Namespaces => {
            let api: Api<Answer<PartialObjectMeta<Namespace>>> = Api::all(cluster.client.clone());
            let found = pages::list(api, "list Namespaces", all).await.ok()?;
            Some(candidates(&found, |namespace| {
                Candidate::new(&namespace.name_any(), "")
            }))
        }
        Asked::Organizations => {
            let all = pages::list(cluster.organizations(), "list Organizations", all).await;
            Some(candidates(&all.ok()?, |organization: &Organization| {
                let about = organization.spec.display_name.as_deref();
                Candidate::new(&organization.name_any(), about.unwrap_or_default())
            }))
        }
    }
}

/// Returns a candidate for each object. An object that can't be decoded is offered by its name.
fn candidates<K>(listed: &Listed<K>, candidate: impl Fn(&K) -> Candidate) -> Vec<Candidate> {
    let unread = |object: &Unread| Candidate::new(&object.identity.name, "Unreadable");
    let unreadable = listed.unreadable.iter().map(unread);
    listed
        .objects
        .iter()
        .map(candidate)
        .chain(unreadable)
        .collect()
}

fn contexts(line: &Line<'_>) -> Vec<Candidate> {
    let read = match line.value_of("kubeconfig") {
        Some(path) => Kubeconfig::read_from(path).ok(),
        None => kubeconfig::read().ok(),
    };
    let contexts = read.unwrap_or_default().contexts;
    let names = contexts.iter();
    names
        .map(|context| Candidate::new(&context.name, ""))
        .collect()
}
