//! What people write, by the thousand: API server, `lint` and operator have one verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use apikey_operator::api::{ApiKey, Organization};
use axum::http::{Method, Request};
use futures::StreamExt as _;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::rows::{self, Row};
use crate::support::{Scope, outcome, plugin_file};

/// Requests at the same time.
const AT_ONCE: usize = 8;

/// What the API server says: the object as it would be stored, or why not.
type Verdict = Result<String, String>;

#[tokio::test]
async fn api_server_lint_and_operator_have_one_verdict_on_whatever_people_write() {
    let scope = Scope::shared().await;
    let rows = rows::all();
    let refused = refused_by_lint(&rows);
    let asked = rows.iter().map(|row| ask(&scope, row));
    let verdicts: Vec<Verdict> = futures::stream::iter(asked)
        .buffered(AT_ONCE)
        .collect()
        .await;

    let mut table: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    let mut disagreed = Vec::new();
    for (n, (row, verdict)) in rows.iter().zip(&verdicts).enumerate() {
        let linted = refused.get(&n);
        let agrees = match verdict {
            Ok(stored) => linted.is_none() && is_read(row, stored),
            Err(_) => linted.is_some(),
        };
        let [taken, refused, wrong] = table.entry(row.kind).or_default();
        *taken += usize::from(verdict.is_ok());
        *refused += usize::from(verdict.is_err());
        *wrong += usize::from(!agrees);
        if !agrees {
            let linted = linted.map_or("taken", |why| why.as_str());
            let said = verdict.as_ref().map_or_else(String::as_str, |_| "taken");
            disagreed.push(format!(
                "{:?}\n    server: {said}\n    lint: {linted}",
                row.what
            ));
        }
    }
    let table = drawn(&table);
    println!("{table}");
    let report = concat!(env!("CARGO_MANIFEST_DIR"), "/target/input-forms.md");
    std::fs::write(report, format!("{table}\n{}\n", disagreed.join("\n"))).unwrap();
    assert!(
        disagreed.is_empty(),
        "{} of {} disagree, see {report}:\n{}",
        disagreed.len(),
        rows.len(),
        disagreed[..disagreed.len().min(20)].join("\n")
    );
}

/// Has the API server try the text as it is: it reads YAML as kubectl does.
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

/// Whether the operator can read what the API server would store.
fn is_read(row: &Row, stored: &str) -> bool {
    fn reads<K: DeserializeOwned>(stored: &str) -> bool {
        serde_json::from_str::<K>(stored).is_ok()
    }
    if row.plural == "apikeys" {
        reads::<ApiKey>(stored)
    } else {
        reads::<Organization>(stored)
    }
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
    let mut seen = BTreeSet::new();
    for problem in report["problems"].as_array().unwrap() {
        let file = std::path::Path::new(problem["file"].as_str().unwrap());
        let row = file.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        seen.insert(row);
        let message = problem["message"].as_str().unwrap();
        if problem["severity"] == Value::from("error") && !is_beside(message) {
            let field = problem["field"].as_str().unwrap();
            refused
                .entry(row)
                .or_insert_with(|| format!("{field}: {message}"));
        }
    }
    refused
}

/// What the API server does not look at: other objects, and the time.
fn is_beside(message: &str) -> bool {
    ["stands twice, first at", "is also that of", "has passed"]
        .iter()
        .any(|part| message.contains(part))
}

/// The table in Markdown.
fn drawn(table: &BTreeMap<&str, [usize; 3]>) -> String {
    let mut text = "| What | rows | taken | refused | lint or operator disagree |\n\
                    | --- | ---: | ---: | ---: | ---: |\n"
        .to_owned();
    let mut all = [0; 3];
    for (kind, counts) in table {
        let [taken, refused, wrong] = counts;
        let rows = taken + refused;
        writeln!(text, "| {kind} | {rows} | {taken} | {refused} | {wrong} |").unwrap();
        for (sum, count) in all.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    let [taken, refused, wrong] = all;
    let rows = taken + refused;
    writeln!(text, "| all | {rows} | {taken} | {refused} | {wrong} |").unwrap();
    text
}
