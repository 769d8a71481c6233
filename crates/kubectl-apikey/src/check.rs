//! `check`: reports whether the operator works.

mod controller;
mod keys;
mod token;

use std::time::Duration;

use clap::{Args, ValueEnum};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::json;

use super::exit::{Exit, Failure};
use super::format::Machine;
use super::invocation::{Cluster, Invocation};
use super::terminal::{BAD, DIM, GOOD, WARN};
use super::text::{Text, styled};
use super::{program, time, version};
use apikey_api::names;
use apikey_client::error::request;

/// Check that the operator works: definitions, controller, keys, token server.
///
/// Each line reports what works, or what to do. A check that needs a permission you don't have is unknown and
/// does not fail. The check of keys fails if a key has not been ready for 10 seconds, unless the key is
/// suspended or expired, or its Organization does not exist.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Check {
    /// Wait until no check fails, at most this long.
    #[arg(long, value_name = "DURATION", value_parser = time::duration)]
    wait: Option<SignedDuration>,

    /// Namespace of the operator. Default: the namespace of its Lease, or apikey-operator.
    #[arg(long, value_name = "NAME")]
    operator_namespace: Option<String>,

    /// Address of the token server. Default: the address in the Secret of a key in the namespace, if there is
    /// one and you may read it.
    #[arg(long, value_name = "URL")]
    url: Option<String>,

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
  After an installation:
    kubectl apikey check --wait 2m

  Check the token server too, at the address that its callers use:
    kubectl apikey check --url https://keys.example.com

  In a script:
    kubectl apikey check -o json | jq '.checks[] | select(.state == \"failed\")'";

/// Time between two attempts of `--wait`.
const EVERY: Duration = Duration::from_secs(1);

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Failed,
    /// The check could not be made, because a permission is missing or nothing names what to check.
    Unknown,
}

/// The outcome of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    name: &'static str,
    state: State,
    message: String,
    /// What to do about it, if anything.
    #[serde(skip_serializing_if = "String::is_empty")]
    fix: String,
}

impl Finding {
    fn new(name: &'static str, state: State, message: impl Into<String>) -> Self {
        Self {
            name,
            state,
            message: message.into(),
            fix: String::new(),
        }
    }

    fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self::new(name, State::Ok, message)
    }

    fn failed(name: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            fix: fix.into(),
            ..Self::new(name, State::Failed, message)
        }
    }

    /// Converts a failed request to a finding.
    fn of_failure(name: &'static str, failure: &Failure) -> Self {
        let state = if failure.exit() == Exit::Forbidden {
            State::Unknown
        } else {
            State::Failed
        };
        Self::new(name, state, failure.message())
    }

    /// The finding as it is printed for people.
    fn text(&self) -> Text {
        let (mark, style) = match self.state {
            State::Ok => ("✓", GOOD),
            State::Failed => ("✗", BAD),
            State::Unknown => ("?", WARN),
        };
        let line = styled(style, mark) + format!(" {}: {}", self.name, self.message);
        if self.fix.is_empty() {
            return line;
        }
        let fix = Text::from("  ") + styled(DIM, "fix:") + " " + &self.fix;
        Text::lines([line, fix])
    }
}

pub(super) async fn run(flags: &Check, call: &mut Invocation) -> Result<(), Failure> {
    let cluster = call.cluster().await?;
    let mut findings = match flags.wait {
        None => look(flags, &cluster, call.clock.now()).await,
        Some(longest) => {
            let longest = Duration::try_from(longest).unwrap_or_default();
            until_healthy(flags, &cluster, call, longest).await
        }
    };
    for finding in &mut findings {
        finding.fix = program::with_name(&finding.fix, &call.program);
    }
    let healthy = is_healthy(&findings);
    match flags.output {
        Some(Form::Json) => {
            let report = json!({"healthy": healthy, "checks": findings});
            call.terminal.exact(&Machine::Json.render(&report)?)?;
        }
        None => {
            for finding in &findings {
                call.terminal.print(finding.text())?;
            }
        }
    }
    if healthy {
        return Ok(());
    }
    Err(if flags.wait.is_some() {
        Failure::timed_out("not healthy in time")
    } else {
        Failure::no("not healthy")
    })
}

fn is_healthy(findings: &[Finding]) -> bool {
    findings
        .iter()
        .all(|finding| finding.state != State::Failed)
}

/// Repeats the checks until none fails or the time ends, and returns the last findings.
async fn until_healthy(
    flags: &Check,
    cluster: &Cluster,
    call: &Invocation,
    longest: Duration,
) -> Vec<Finding> {
    let spinner = call.terminal.spinner("Checking");
    let mut findings = Vec::new();
    let looking = async {
        let mut tick = tokio::time::interval(EVERY);
        loop {
            tick.tick().await;
            findings = look(flags, cluster, call.clock.now()).await;
            let failed = findings
                .iter()
                .find(|finding| finding.state == State::Failed);
            match failed {
                None => return,
                Some(finding) => {
                    spinner.set_message(format!("Waiting: {}: {}", finding.name, finding.message));
                }
            }
        }
    };
    // If the time ends, `findings` has the results so far.
    let _ = tokio::time::timeout(longest, looking).await;
    spinner.end();
    if findings.is_empty() {
        findings = look(flags, cluster, call.clock.now()).await;
    }
    findings
}

async fn look(flags: &Check, cluster: &Cluster, now: Timestamp) -> Vec<Finding> {
    let definitions = definitions(cluster).await;
    let has_definitions = definitions.state == State::Ok;
    let mut findings = vec![definitions];
    let namespace = flags.operator_namespace.as_deref();
    findings.push(controller::look(cluster, namespace, now).await);
    if has_definitions {
        findings.push(keys::look(cluster, now).await);
    }
    findings.push(token::look(cluster, flags.url.as_deref()).await);
    findings
}

/// Checks that the API server serves both kinds, which it does when their definitions are established.
async fn definitions(cluster: &Cluster) -> Finding {
    const NAME: &str = "definitions";
    let group = match version::served(&cluster.client).await {
        Ok(group) => group,
        Err(failure) => return Finding::of_failure(NAME, &failure),
    };
    let install = "run `apikey-operator crds | kubectl apply --server-side -f -`, or install the \
                   chart";
    let version = format!("{}/{}", names::GROUP, names::VERSION);
    if !group.is_some_and(|group| group.versions.iter().any(|v| v.group_version == version)) {
        return Finding::failed(NAME, format!("{version} is not served"), install);
    }
    let resources = cluster.client.list_api_group_resources(&version);
    let resources = match request("list the resources of our API", resources).await {
        Ok(list) => list.resources,
        Err(error) => return Finding::of_failure(NAME, &error.into()),
    };
    for plural in ["apikeys", "organizations"] {
        if !resources.iter().any(|resource| resource.name == plural) {
            return Finding::failed(NAME, format!("{plural} are not served"), install);
        }
    }
    Finding::ok(
        NAME,
        format!("apikeys and organizations are served as {version}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_be_read_is_no_failure() {
        let open = Finding::of_failure("x", &Failure::forbidden("no"));
        assert!(is_healthy(&[open.clone(), Finding::ok("y", "")]));
        assert!(!is_healthy(&[open, Finding::failed("y", "a", "b")]));
    }
}
