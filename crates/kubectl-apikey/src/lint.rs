//! `lint`: what the API server and the operator would say of files, before they are applied.

mod metadata;
mod node;
mod object;
mod read;
mod rules;
mod schema;
mod server;

use std::fmt;

use clap::{Args, ValueEnum};
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use self::object::Checker;
use self::read::{Document, Files, Kind};
use self::rules::World;
use super::exit::Failure;
use super::format::Machine;
use super::invocation::Invocation;
use apikey_api::ApiKey;

/// Check files with ApiKeys and Organizations, without a cluster.
///
/// Checked are fields, formats and the rules of the definitions, expiries that have passed, names
/// that stand twice, and keys against Organizations of the same files. Objects of other kinds are
/// skipped; a kind of our API that there is not is a problem, and so is input without any object. With
/// --server each object is also tried on the cluster, which keeps nothing, and keys are checked against its
/// Organizations. If you may not list those, as is usual in a namespace of one's own, a warning says so, and
/// the call fails for it only with --strict.
///
/// Problems go to standard output, one a line; with any, the exit code is 5. What the operator would
/// leave out of a key that is good otherwise, such as one of two roles, is a warning. So is, without
/// --server, an Organization that is in none of the files; with it, one that does not exist is a problem.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Lint {
    /// Files, folders with .yaml, .yml and .json files at any depth, or - for standard input.
    #[arg(short = 'f', long = "filename", required = true, num_args = 1.., value_name = "PATH")]
    paths: Vec<String>,

    /// Try each object on the cluster too; set by --context as well.
    #[arg(long)]
    server: bool,

    /// Count warnings as problems, except those of Organizations that may be on a cluster that is not asked.
    /// With --server, it is a problem as well if you may not list Organizations. So is input without an ApiKey
    /// or Organization.
    #[arg(long)]
    strict: bool,

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

/// Whether an object would be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    /// It would be refused, or never be ready.
    Error,
    /// A part of it would be left out.
    Warning,
    /// Whether it would be refused depends on what was not read.
    Unknown,
}

/// Something that is wrong with an object, or with a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Problem {
    file: String,
    line: usize,
    /// `apikey/ci`; empty if the file can't be read.
    object: String,
    /// Where in the object; may be empty.
    field: String,
    severity: Severity,
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
        match self.severity {
            Severity::Error => {}
            Severity::Warning | Severity::Unknown => write!(f, "warning: ")?,
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
            severity: Severity::Error,
            message: message.into(),
        }
    }

    /// Something of this object that can't be judged.
    fn unknown(&self, field: &str, message: impl Into<String>) -> Problem {
        Problem {
            severity: Severity::Unknown,
            ..self.problem(field, message)
        }
    }

    /// Something of this object that would be left out.
    fn warning(&self, field: &str, message: impl Into<String>) -> Problem {
        Problem {
            severity: Severity::Warning,
            ..self.problem(field, message)
        }
    }
}

/// What the API server and the operator would refuse of a key that is created now: fields, and what is wrong
/// there.
pub(super) fn refused(key: &ApiKey, now: Timestamp) -> Result<Vec<(String, String)>, Failure> {
    let value = serde_json::to_value(key)
        .map_err(|error| Failure::failed(format!("the key can't be written as JSON: {error}")))?;
    Ok(Checker::new()?.findings(Kind::ApiKey, value, now))
}

pub(super) async fn run(flags: &Lint, call: &mut Invocation) -> Result<(), Failure> {
    let Files {
        mut documents,
        skipped,
        mut problems,
    } = read::all(&flags.paths)?;
    let now = call.clock.now();
    let checker = Checker::new()?;
    for document in &mut documents {
        checker.normalize(document);
    }
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
    let mut is_partial = false;
    if by_server {
        let cluster = call.cluster().await?;
        if let Some(why) = server::learn(&cluster, &mut world).await? {
            is_partial = true;
            call.terminal.warn(why);
        }
        problems.extend(server::check(&cluster, &mut world, &sound, now).await?);
    } else {
        let namespace = call.target().namespace.clone();
        for document in sound {
            problems.extend(world.judge(document, namespace.as_deref(), now));
        }
    }
    problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    let counts = Counts {
        checked: documents.len(),
        skipped,
        is_partial,
    };
    show(call, flags, counts, &problems)
}

/// What was looked at.
#[derive(Clone, Copy)]
struct Counts {
    checked: usize,
    skipped: usize,
    /// The cluster was asked, and its Organizations may not be listed.
    is_partial: bool,
}

fn show(
    call: &mut Invocation,
    flags: &Lint,
    counts: Counts,
    problems: &[Problem],
) -> Result<(), Failure> {
    let Counts {
        checked,
        skipped,
        is_partial,
    } = counts;
    if flags.output == Some(Form::Json) {
        let report = json!({"checked": checked, "skipped": skipped, "problems": problems});
        call.terminal.exact(&Machine::Json.render(&report)?)?;
    } else {
        for problem in problems {
            call.terminal.print(problem)?;
        }
    }
    let errors = problems.iter().filter(|p| p.severity == Severity::Error);
    let errors = errors.count();
    let warnings = problems.len() - errors;
    let unknown = problems.iter().filter(|p| p.severity == Severity::Unknown);
    let is_strictly_fine = warnings == unknown.count() && !is_partial && checked > 0;
    let rest = if is_partial {
        "; the Organizations of the cluster were not read"
    } else {
        ""
    };
    let summary = format!(
        "{checked} object(s) checked, {skipped} of other kinds skipped: {errors} problem(s), \
         {warnings} warning(s){rest}"
    );
    if problems.is_empty() && checked + skipped == 0 {
        return Err(Failure::no(
            "nothing was checked: there is no object in the input, so see that it is what you mean",
        ));
    }
    if errors == 0 && (is_strictly_fine || !flags.strict) {
        if checked == 0 {
            call.terminal
                .warn("nothing was checked: there is no ApiKey and no Organization in the input");
        }
        call.terminal.note(summary);
        return Ok(());
    }
    Err(Failure::no(summary))
}
