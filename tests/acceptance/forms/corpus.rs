//! Thousands of objects as people write them. API server, `lint`, operator and plugin must agree on each.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use apikey_api::{ApiKey, Organization};
use apikey_client::object::{Answer, Decode, Sent};
use axum::http::{Method, Request};
use futures::StreamExt as _;

use super::rows::{self, Row};
use crate::support::{Scope, outcome, plugin_file};

/// The number of requests at the same time.
const AT_ONCE: usize = 8;

/// The answer of the API server: the object that it would store, or the reason why not.
type Verdict = Result<String, String>;

/// All verdicts on a row.
struct Verdicts<'a> {
    row: &'a Row,
    server: Verdict,
    /// The reason why lint refuses it.
    linted: Option<&'a str>,
}

impl Verdicts<'_> {
    /// Whether all verdicts agree.
    fn agree(&self) -> bool {
        match &self.server {
            Ok(stored) => {
                let read = self.row.read(stored);
                self.linted.is_none() && read.by_operator && read.by_plugin
            }
            Err(_) => self.linted.is_some(),
        }
    }

    /// A line of the table.
    fn line(&self) -> String {
        let word = |taken| if taken { "taken" } else { "refused" };
        let (operator, plugin) = match &self.server {
            Ok(stored) => {
                let read = self.row.read(stored);
                (word(read.by_operator), word(read.by_plugin))
            }
            Err(_) => ("never seen", "never seen"),
        };
        let (server, linted) = (word(self.server.is_ok()), word(self.linted.is_none()));
        let what = self.row.what.escape_debug().to_string();
        let what = what.replace('|', "\\|");
        let kind = self.row.kind;
        format!("| {kind} | `{what}` | {server} | {linted} | {operator} | {plugin} |")
    }

    fn difference(&self) -> String {
        let output = self
            .server
            .as_ref()
            .map_or_else(String::as_str, |_| "taken");
        let linted = self.linted.unwrap_or("taken");
        format!(
            "{:?}\n    server: {output}\n    lint: {linted}",
            self.row.what
        )
    }
}

/// Who can read what the API server would store.
struct Read {
    /// As the operator reads what it watches.
    by_operator: bool,
    /// As the plugin reads what it shows.
    by_plugin: bool,
}

impl Row {
    fn read(&self, stored: &str) -> Read {
        fn read<K: Decode>(stored: &str) -> Read {
            Read {
                by_operator: serde_json::from_str::<Answer<K>>(stored).is_ok(),
                by_plugin: serde_json::from_str::<Answer<Sent<K>>>(stored).is_ok(),
            }
        }
        if self.plural == "apikeys" {
            read::<ApiKey>(stored)
        } else {
            read::<Organization>(stored)
        }
    }
}

#[tokio::test]
async fn api_server_lint_operator_and_plugin_have_one_verdict_on_whatever_people_write() {
    let scope = Scope::shared().await;
    let rows = rows::all();
    let refused = refused_by_lint(&rows);
    let asked = rows.iter().map(|row| ask(&scope, row));
    let answers: Vec<Verdict> = futures::stream::iter(asked)
        .buffered(AT_ONCE)
        .collect()
        .await;
    let verdicts: Vec<_> = rows
        .iter()
        .zip(answers)
        .enumerate()
        .map(|(n, (row, server))| Verdicts {
            row,
            server,
            linted: refused.get(&n).map(String::as_str),
        })
        .collect();
    let disagreed: Vec<_> = verdicts.iter().filter(|row| !row.agree()).collect();
    let disagreed: Vec<_> = disagreed.iter().map(|row| row.difference()).collect();
    let counts = counted(&verdicts);
    println!("{counts}");
    let report = concat!(env!("CARGO_MANIFEST_DIR"), "/target/input-forms.md");
    let lines: Vec<_> = verdicts.iter().map(Verdicts::line).collect();
    let differences = disagreed.join("\n");
    let text = format!(
        "{counts}\n{differences}\n| What | form | API server | lint | operator | plugin |\n\
         | --- | --- | --- | --- | --- | --- |\n{}\n",
        lines.join("\n")
    );
    std::fs::write(report, text).unwrap();
    assert!(
        disagreed.is_empty(),
        "the verdicts disagree on {} of {} forms, see {report}:\n{}",
        disagreed.len(),
        rows.len(),
        disagreed[..disagreed.len().min(20)].join("\n")
    );
}

/// Sends the unchanged text to the API server as a dry run. It reads YAML as kubectl does.
async fn ask(scope: &Scope<'_>, row: &Row) -> Verdict {
    let place = if row.plural == "apikeys" {
        format!("namespaces/{}/apikeys", scope.namespace)
    } else {
        row.plural.to_owned()
    };
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!(
            "/apis/apikey-operator.dev/v1alpha1/{place}?dryRun=All&fieldValidation=Strict"
        ))
        .header("content-type", "application/yaml")
        .header("accept", "application/json")
        .body(row.yaml.clone().into_bytes());
    let answer = scope.client.request_text(request.unwrap()).await;
    answer.map_err(|error| error.to_string())
}

/// The rows that `lint` refuses without a cluster, with the first reason.
fn refused_by_lint(rows: &[Row]) -> BTreeMap<usize, String> {
    let folder = tempfile::tempdir().unwrap();
    for (n, row) in rows.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{n}.yaml")), &row.yaml).unwrap();
    }
    let mut command = std::process::Command::new(plugin_file());
    let command = command
        .args(["lint", "-o", "json", "-f"])
        .arg(folder.path())
        .env("KUBECONFIG", "/nonexistent");
    let report = outcome(command, "").json();
    let mut refused = BTreeMap::new();
    for problem in report["problems"].as_array().unwrap() {
        let file = std::path::Path::new(problem["file"].as_str().unwrap());
        let row = file.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let message = problem["message"].as_str().unwrap();
        if problem["severity"] == "error" && !is_beside(message) {
            let field = problem["field"].as_str().unwrap();
            refused
                .entry(row)
                .or_insert_with(|| format!("{field}: {message}"));
        }
    }
    refused
}

/// Messages about other objects and about the time, which the API server does not check.
fn is_beside(message: &str) -> bool {
    [
        "appears twice, first at",
        "is also the Secret of",
        "is in the past",
    ]
    .iter()
    .any(|part| message.contains(part))
}

/// The counts as a table in Markdown.
fn counted(verdicts: &[Verdicts<'_>]) -> String {
    let mut counts: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for row in verdicts {
        for what in [row.row.kind, "~all"] {
            let [taken, refused, wrong] = counts.entry(what).or_default();
            *taken += usize::from(row.server.is_ok());
            *refused += usize::from(row.server.is_err());
            *wrong += usize::from(!row.agree());
        }
    }
    let mut text = "| What | forms | taken | refused | not one verdict |\n\
                    | --- | ---: | ---: | ---: | ---: |\n"
        .to_owned();
    for (what, [taken, refused, wrong]) in counts {
        let (what, forms) = (what.trim_start_matches('~'), taken + refused);
        writeln!(text, "| {what} | {forms} | {taken} | {refused} | {wrong} |").unwrap();
    }
    text
}
