//! `lint`: checks files as the API server and the operator would, before they are applied.

mod metadata;
mod node;
mod object;
mod problem;
mod read;
mod rules;
mod schema;
mod server;

use clap::{Args, ValueEnum};
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use self::object::Checker;
use self::problem::{Problem, Severity};
use self::read::{Files, Kind};
use self::rules::World;
use super::exit::Failure;
use super::format::Machine;
use super::invocation::Invocation;
use apikey_api::ApiKey;

/// Check files with ApiKeys and Organizations, without a cluster.
///
/// The checks cover fields, formats, the rules of the definitions, expiries in the past, duplicate names, and
/// keys against Organizations in the same files. Objects of other kinds are skipped. An unknown kind of this
/// API is a problem, and so is input without any object. With --server, each object is also validated by the
/// cluster with a dry run, and keys are checked against the Organizations of the cluster. If you may not list
/// Organizations, which is usual for users of a single namespace, a warning reports it, and the call fails
/// because of it only with --strict.
///
/// Problems are printed on standard output, one per line; if there are any, the exit code is 5. A part of a
/// valid key that the operator would ignore, such as one of two roles, is a warning. An Organization that is
/// in none of the files is a warning without --server, and a problem with --server if it does not exist.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Lint {
    /// Files, folders with .yaml, .yml and .json files at any depth, or - for standard input.
    #[arg(short = 'f', long = "filename", required = true, num_args = 1.., value_name = "PATH")]
    paths: Vec<String>,

    /// Also validate each object on the cluster with a dry run. --context implies this flag.
    #[arg(long)]
    server: bool,

    /// Treat warnings as problems, except those about Organizations that may exist on a cluster that is not
    /// asked. It is also a problem if the input has no ApiKey or Organization, or, with --server, if you may
    /// not list Organizations.
    #[arg(long)]
    strict: bool,

    /// Output format for programs.
    #[arg(short, long, value_name = "FORM")]
    output: Option<Form>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    Json,
}

const EXAMPLES: &str = "\
Examples:
  Check files in a pipeline, before they are applied:
    kubectl apikey lint -f deploy/

  Check what a chart renders:
    helm template ./chart | kubectl apikey lint -f -

  Check against the Organizations of a cluster:
    kubectl apikey lint -f deploy/ --context production";

/// Returns what the API server and the operator would refuse if the key were created now, as pairs of field
/// and message.
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

/// What was checked.
#[derive(Clone, Copy)]
struct Counts {
    checked: usize,
    skipped: usize,
    /// The cluster was asked, but its Organizations can't be listed.
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
            "nothing was checked: the input has no object; check that it is the right input",
        ));
    }
    if errors == 0 && (is_strictly_fine || !flags.strict) {
        if checked == 0 {
            call.terminal
                .warn("nothing was checked: the input has no ApiKey and no Organization");
        }
        call.terminal.note(summary);
        return Ok(());
    }
    Err(Failure::no(summary))
}
