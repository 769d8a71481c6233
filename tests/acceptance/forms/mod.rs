//! Spellings of the fields of an ApiKey. API server, `lint` and the operator's own parser must agree on each.

mod corpus;
mod rows;
mod words;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;

use apikey_api::expiry;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::support::{Scope, outcome, plugin_file};

/// Spellings that people use.
const WRITTEN: [&str; 24] = [
    "2027-06-17T00:00:00Z",
    "2027-06-17T00:00:00.5+02:00",
    "2027-06-17T23:59:59.123456789-23:59",
    "2028-02-29T00:00:00Z",
    "2027-02-29T00:00:00Z",
    "2027-02-30T00:00:00Z",
    "2027-06-31T00:00:00Z",
    "2027-06-17t00:00:00z",
    "2027-06-17 00:00:00Z",
    "2027-06-17T00:00Z",
    "2027-06-17T00:00:00",
    "2027-06-17",
    "2027-06-17T00:00:00+0200",
    "2027-06-17T00:00:00+25:00",
    "2027-06-17T00:00:00+99:99",
    "2027-06-17T24:00:00Z",
    "2027-06-17T23:59:60Z",
    "9999-12-29T23:59:59Z",
    "9999-12-30T23:59:59Z",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z",
    "next year",
    "1813190400",
    "",
];

/// The replacements for a part of a valid form.
const PIECES: [&str; 16] = [
    "", "0", "00", "13", "31", "60", "99", "9999", "T", "t", "z", "+00:00", "-", ":", ".", "x5Z",
];

/// The forms, and each form that results from one typo in a valid form.
fn forms() -> BTreeSet<String> {
    let sound = "2027-06-17T00:00:00.0Z";
    let slips = (0..sound.len()).flat_map(|at| {
        let slip = move |piece: &str| format!("{}{piece}{}", &sound[..at], &sound[at + 1..]);
        PIECES.map(slip)
    });
    WRITTEN
        .map(str::to_owned)
        .into_iter()
        .chain(slips)
        .collect()
}

/// Valid specs, and specs from which the operator can't make a Secret or an e-mail address.
fn specs() -> Vec<(Value, bool)> {
    let template = |field: &str, key: &str| json!({"secret": {"template": {field: {key: "x"}}}});
    let data_key = |key: &str| json!({"secret": {"keys": {"secret": key}}});
    let mut specs = Vec::new();
    for (key, sound) in [
        ("team", true),
        ("example.com/team", true),
        ("Team_1.x", true),
        ("", false),
        ("-team", false),
        ("team-", false),
        ("a b", false),
        ("a/b/c", false),
        ("/team", false),
        ("example..com/team", false),
        ("example_com/team", false),
        (&"n".repeat(63), true),
        (&"n".repeat(64), false),
        (&format!("{}/n", ["d"; 127].join(".")), true),
        (&format!("{}/n", "d".repeat(254)), false),
    ] {
        specs.extend(["labels", "annotations"].map(|field| (template(field, key), sound)));
    }
    for (key, sound) in [
        ("API_KEY", true),
        (".env", true),
        ("a..b", true),
        (".", false),
        ("..", false),
        ("..data", false),
        ("a/b", false),
    ] {
        specs.push((data_key(key), sound));
    }
    for (name, sound) in [
        ("a.b", true),
        ("a-_b", true),
        ("a..b", false),
        ("a.", false),
        ("A", false),
    ] {
        specs.push((json!({"name": name}), sound));
    }
    for (subs, sound) in [(4, true), (5, false)] {
        let roles: Vec<_> = (0..64).map(|n| format!("role-{n}")).collect();
        let sub = |n| json!({"org": format!("sub-{n}"), "roles": roles});
        specs.push((
            json!({"subOrgs": (0..subs).map(sub).collect::<Vec<_>>()}),
            sound,
        ));
    }
    for (chars, sound) in [(2046, true), (2048, false)] {
        let annotations =
            ["a", "b", "c", "d"].map(|key| (key.to_owned(), json!("x".repeat(chars))));
        let annotations = Value::Object(annotations.into_iter().collect());
        specs.push((
            json!({"secret": {"template": {"annotations": annotations}}}),
            sound,
        ));
    }
    specs
}

#[tokio::test]
async fn api_server_and_lint_refuse_what_no_secret_and_no_address_can_be_made_of() {
    let scope = Scope::shared().await;
    let (keys, trial) = (scope.keys(), trial());
    let mut wrong = Vec::new();
    for (n, (more, sound)) in specs().into_iter().enumerate() {
        let key = document(&format!("spec-{n}"), scope.org(), &more);
        let created = keys
            .create(&trial, &serde_json::from_value(key.clone()).unwrap())
            .await;
        let linted = lint(&key.to_string());
        let mut findings = linted.lines().filter(|line| line.contains("apikey/"));
        let is_refused = findings.any(|line| !line.contains(": warning: "));
        if created.is_ok() != sound || is_refused == sound {
            let created = created.map(|_| ());
            wrong.push(format!("{more}: {created:?}, lint: {linted}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn trial() -> PostParams {
    PostParams {
        dry_run: true,
        ..PostParams::default()
    }
}

fn document(name: &str, org: &str, more: &Value) -> Value {
    let mut spec = json!({"org": org, "roles": ["viewer"]});
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    json!({
        "apiVersion": "apikey-operator.dev/v1alpha1", "kind": "ApiKey",
        "metadata": {"name": name}, "spec": spec,
    })
}

/// The output of `lint` for these documents, without a cluster.
fn lint(documents: &str) -> String {
    let mut command = Command::new(plugin_file());
    let command = command
        .args(["lint", "-f", "-"])
        .env("KUBECONFIG", "/nonexistent");
    outcome(command, documents).stdout
}

#[tokio::test]
async fn api_server_lint_and_operator_agree_on_every_form_of_an_expiry() {
    let scope = Scope::shared().await;
    let forms: Vec<_> = forms().into_iter().collect();
    let mut files = String::new();
    for (n, form) in forms.iter().enumerate() {
        let key = document(&format!("form-{n}"), scope.org(), &json!({"expiry": form}));
        writeln!(files, "---\n{key}").unwrap();
    }
    let linted = lint(&files);
    let refused_by_lint: BTreeSet<_> = linted
        .lines()
        .filter(|line| !line.contains("is in the past"))
        .filter_map(|line| line.split_once("apikey/")?.1.split_once(": spec.expiry: "))
        .map(|(name, _)| name)
        .collect();

    let (keys, trial) = (scope.keys(), trial());
    let (mut taken, mut disagreed) = (0, Vec::new());
    for (n, form) in forms.iter().enumerate() {
        let name = format!("form-{n}");
        let key = document(&name, scope.org(), &json!({"expiry": form}));
        let created = keys
            .create(&trial, &serde_json::from_value(key).unwrap())
            .await;
        let verdicts = [
            created.is_ok(),
            !refused_by_lint.contains(name.as_str()),
            expiry::parse(form).is_ok(),
        ];
        taken += usize::from(verdicts[0]);
        if verdicts != [verdicts[0]; 3] {
            disagreed.push(format!("{form:?} {verdicts:?} {created:?}"));
        }
        if let Err(error) = created {
            assert!(
                error.to_string().contains("spec.expiry"),
                "{form:?}: {error}"
            );
        }
    }
    assert!(
        disagreed.is_empty(),
        "API server, lint and parser disagree: {disagreed:#?}"
    );
    assert!(
        taken > 10 && taken < forms.len() - 100,
        "{taken} of {}",
        forms.len()
    );
}
