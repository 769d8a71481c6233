//! `lint`: what the API server and the operator would say of files, before they are applied.

mod object;
mod read;
mod rules;
mod schema;
mod server;

use std::fmt;

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::json;

use self::object::Checker;
use self::read::{Document, Files};
use self::rules::World;
use super::exit::Failure;
use super::invocation::Invocation;

/// Check files with ApiKeys and Organizations, without a cluster.
///
/// Checked are fields, formats and the rules of the definitions, expiries that have passed, names
/// that stand twice, and keys against Organizations of the same files. Objects of other kinds are
/// skipped. With --server each object is also tried on the cluster, which keeps nothing, and keys are
/// checked against its Organizations.
///
/// Problems go to standard output, one a line; with any, the exit code is 5.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Lint {
    /// Files, folders with .yaml, .yml and .json files at any depth, or - for standard input.
    #[arg(short = 'f', long = "filename", required = true, num_args = 1.., value_name = "PATH")]
    paths: Vec<String>,

    /// Try each object on the cluster too; set by --context as well.
    #[arg(long)]
    server: bool,

    /// Form for programs.
    #[arg(short, long, value_name = "FORM")]
    output: Option<Form>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    Json,
}

const EXAMPLES: &str = "\
Examples:
  In a pipeline, before anything is applied:
    kubectl apikey lint -f deploy/

  What a chart renders:
    helm template ./chart | kubectl apikey lint -f -

  Against the organizations and quotas of a cluster:
    kubectl apikey lint -f deploy/ --context production";

/// Something that is wrong with an object, or with a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Problem {
    file: String,
    line: usize,
    /// `apikey/ci`; empty if the file can't be read.
    object: String,
    /// Where in the object; may be empty.
    field: String,
    /// What is wrong, with value and fix.
    message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        for part in [&self.object, &self.field] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        write!(f, "{}", self.message)
    }
}

impl Document {
    /// A problem of this object.
    fn problem(&self, field: &str, message: impl Into<String>) -> Problem {
        Problem {
            file: self.file.clone(),
            line: self.line(field),
            object: self.title(),
            field: field.to_owned(),
            message: message.into(),
        }
    }
}

pub(super) async fn run(flags: &Lint, call: &mut Invocation) -> Result<(), Failure> {
    let Files {
        documents,
        skipped,
        mut problems,
    } = read::all(&flags.paths)?;
    let now = call.clock.now();
    let checker = Checker::new()?;
    let mut world = World::of(&documents);
    let (mut sound, mut broken) = (Vec::new(), Vec::new());
    for document in &documents {
        let found = checker.check(document, now);
        if found.is_empty() {
            sound.push(document);
        } else {
            broken.extend(found);
        }
    }
    problems.extend(broken);
    problems.extend(rules::twice(&documents));
    let by_server = flags.server || call.target().context.is_some();
    if by_server {
        let cluster = call.cluster().await?;
        problems.extend(server::check(&cluster, &mut world, &sound, now).await?);
    } else {
        let namespace = call.target().namespace.clone();
        for document in sound {
            problems.extend(world.judge(document, namespace.as_deref(), now));
        }
    }
    problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    show(call, flags.output, documents.len(), skipped, &problems)
}

fn show(
    call: &mut Invocation,
    form: Option<Form>,
    checked: usize,
    skipped: usize,
    problems: &[Problem],
) -> Result<(), Failure> {
    if form == Some(Form::Json) {
        let report = json!({"checked": checked, "skipped": skipped, "problems": problems});
        call.terminal.print(format!("{report:#}"))?;
    } else {
        for problem in problems {
            call.terminal.print(problem)?;
        }
    }
    let others = if skipped == 0 {
        String::new()
    } else {
        format!(", {skipped} of other kinds skipped")
    };
    let summary = format!("{checked} object(s) checked{others}");
    if problems.is_empty() {
        call.terminal.note(format!("{summary}: no problems"));
        return Ok(());
    }
    Err(Failure::no(format!(
        "{summary}: {} problem(s)",
        problems.len()
    )))
}
