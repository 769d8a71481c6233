//! Dashboard and alerts query metrics that the operator exports, and each alert is documented.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use apikey_operator::metrics::Metrics;
use serde_json::Value;

use crate::support::{Login, Scope};

/// Keywords of the query language that no parenthesis follows.
const KEYWORDS: [&str; 6] = ["and", "or", "unless", "offset", "bool", "inf"];
/// Keywords whose parentheses hold names of labels.
const BEFORE_LABELS: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];

fn file(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The alerts as JSON.
fn alerts() -> Vec<Value> {
    let file: Value =
        serde_saphyr::from_str(&file("charts/apikey-operator/files/alerts.yaml")).unwrap();
    let groups = file["groups"].as_array().unwrap().iter();
    groups
        .flat_map(|group| group["rules"].as_array().unwrap().clone())
        .collect()
}

/// All queries of the dashboard.
fn queries() -> Vec<String> {
    fn collect(value: &Value, found: &mut Vec<String>) {
        for (name, value) in value.as_object().into_iter().flatten() {
            let query = value.as_str();
            let query = query.filter(|_| name == "expr" || name == "definition");
            found.extend(query.map(str::to_owned));
            collect(value, found);
        }
        for value in value.as_array().into_iter().flatten() {
            collect(value, found);
        }
    }
    let dashboard = file("charts/apikey-operator/files/dashboard.json");
    let mut found = Vec::new();
    collect(&serde_json::from_str(&dashboard).unwrap(), &mut found);
    found
}

/// The query without strings, matchers, ranges, and lists of labels.
fn outside(query: &str) -> String {
    let mut text = String::new();
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for c in query.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            _ if depth == 0 => text.push(c),
            _ => {}
        }
    }
    for word in BEFORE_LABELS {
        let mut from = 0;
        while let Some(at) = text[from..].find(&format!(" {word} (")).map(|at| at + from) {
            let end = text[at..].find(')').unwrap() + at;
            text.replace_range(at..=end, " ");
            from = at;
        }
    }
    text
}

/// The names of the series in a query.
fn series(query: &str) -> BTreeSet<String> {
    // `label_values(series, label)` is a function of Grafana.
    let query = query.strip_prefix("label_values(").map_or_else(
        || query.to_owned(),
        |rest| rest.rsplit_once(',').unwrap().0.to_owned(),
    );
    let text = outside(&query);
    let is_part =
        |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':' || c == '$' || c == '.';
    let mut names = BTreeSet::new();
    let mut rest = text.as_str();
    while let Some(start) = rest.find(is_part) {
        let word_on = &rest[start..];
        let end = word_on.find(|c| !is_part(c)).unwrap_or(word_on.len());
        let (word, after) = word_on.split_at(end);
        rest = after;
        let begins = word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let called = after.trim_start().starts_with('(');
        if begins && !called && !KEYWORDS.contains(&word) {
            names.insert(word.to_owned());
        }
    }
    names
}

/// Metrics that exist only after a failure. This test has none.
fn of_failures() -> String {
    let metrics = Metrics::new();
    let _running = metrics.reconcile_begins("apikey");
    metrics.reconcile_ended("apikey", Duration::from_millis(1), Some("transient"));
    metrics.watch_failed("ApiKey");
    metrics.encode().unwrap()
}

/// The names of the series in a response of `/metrics`.
fn exported(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| {
        let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
        let suffixes: &[&str] = match kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            "info" => &["_info"],
            _ => &[""],
        };
        Some(suffixes.iter().map(move |suffix| format!("{name}{suffix}")))
    });
    types.flatten().collect()
}

#[test]
fn names_are_found_in_queries() {
    let query = r#"
        (sum by (a, job) (rate(one_total{x=~"two(\"|[0-9]+)"}[5m])) or vector(0))
          / on (b) group_left (c) max without (d) (three offset 30m) > 2 * 86400
        unless four == bool 1 and histogram_quantile(0.99, five_bucket{}[$__rate_interval])"#;
    let expected = ["five_bucket", "four", "one_total", "three"];
    assert_eq!(series(query), expected.map(str::to_owned).into());
    let values = series(r#"label_values(one{x="y, z"}, label)"#);
    assert_eq!(values, ["one".to_owned()].into());
}

#[tokio::test]
async fn dashboard_and_alerts_ask_only_for_what_is_exported() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    // A metric with labels is exported after its first count.
    let old = Login::of(
        &scope
            .usable(server, "ci", "rotation: {everyDays: 30}")
            .await,
    );
    assert_eq!(server.token_of(&old.forged(1)).status, 401);
    scope.rotate("ci", "1").await;
    assert_eq!(server.token_of(&old).status, 200);
    let (_, controller) = Scope::operator(|operator| operator.get("/metrics")).unwrap();
    let (_, tokens) = server.process.get("/metrics").unwrap();
    let mut known = exported(&controller);
    known.extend(exported(&tokens));
    known.extend(exported(&of_failures()));

    let mut asked = BTreeMap::new();
    let alerts = alerts();
    let of_alerts = alerts.iter().map(|alert| {
        let name = alert["alert"].as_str().unwrap();
        (name.to_owned(), alert["expr"].as_str().unwrap().to_owned())
    });
    let of_dashboard = queries().into_iter().map(|query| (query.clone(), query));
    for (place, query) in of_alerts.chain(of_dashboard) {
        let names = series(&query);
        assert!(!names.is_empty(), "no series in {query}");
        for name in names {
            asked.insert(name, place.clone());
        }
    }
    let unknown: BTreeMap<_, _> = asked
        .iter()
        .filter(|(name, _)| !known.contains(*name))
        .collect();
    assert!(unknown.is_empty(), "these are not exported: {unknown:#?}");
    // Each exported metric is in an alert or a panel.
    let unasked: Vec<_> = known
        .iter()
        .filter(|name| name.starts_with("apikey") && !name.ends_with("_sum"))
        .filter(|name| !asked.contains_key(*name))
        .collect();
    assert!(
        unasked.is_empty(),
        "these are in no alert and no panel: {unasked:?}"
    );
}

#[test]
fn every_alert_has_instructions_and_is_tested() {
    let runbook = file("docs/runbook.md");
    let tests = file("tests/observability/alerts_test.yaml");
    let mut headings: BTreeSet<_> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## ApiKey"))
        .map(|rest| format!("ApiKey{rest}"))
        .collect();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        assert!(headings.remove(name), "docs/runbook.md lacks ## {name}");
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(["info", "warning", "critical"].contains(&severity));
        let annotations = &alert["annotations"];
        for annotation in ["summary", "description"] {
            assert!(annotations[annotation].as_str().unwrap().ends_with('.'));
        }
        let anchor = format!("docs/runbook.md#{}", name.to_lowercase());
        assert_eq!(annotations["runbook_url"], anchor.as_str());
        let fires = format!("ALERTS{{alertname=\"{name}\", alertstate=\"firing\"}}");
        let found = tests.matches(&fires).count();
        assert!(
            found >= 2,
            "the tests lack a case in which {name} fires, or one in which it does not"
        );
    }
    assert!(
        headings.is_empty(),
        "the runbook has headings for unknown alerts: {headings:?}"
    );
}
