//! The metrics of the token server, and their format.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::{Login, Scope};

/// The families of a text in the `OpenMetrics` format, with their types. Panics if the text is not valid.
fn families(text: &str) -> BTreeMap<String, String> {
    let (text, end) = text.split_at(text.len() - "# EOF\n".len());
    assert_eq!(end, "# EOF\n");
    let mut types = BTreeMap::new();
    let (mut helped, mut series) = (BTreeSet::new(), BTreeSet::new());
    let mut family = String::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let [word, name, rest] = comment
                .splitn(3, ' ')
                .collect::<Vec<_>>()
                .try_into()
                .unwrap();
            match word {
                "HELP" => assert!(helped.insert(name.to_owned()) && !rest.is_empty(), "{line}"),
                "TYPE" => {
                    let kinds = ["counter", "gauge", "histogram", "info", "unknown"];
                    assert!(kinds.contains(&rest), "{line}");
                    let before = types.insert(name.to_owned(), rest.to_owned());
                    assert_eq!(before, None, "a family in two places: {line}");
                    name.clone_into(&mut family);
                }
                "UNIT" => {}
                _ => panic!("{line}"),
            }
            continue;
        }
        let (this, value) = line.rsplit_once(' ').unwrap();
        value.parse::<f64>().unwrap();
        assert!(series.insert(this), "the series appears twice: {this}");
        let name = this.split('{').next().unwrap();
        let suffix = name.strip_prefix(family.as_str());
        let suffixes: &[_] = match types[&family].as_str() {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            "info" => &["_info"],
            _ => &[""],
        };
        assert!(suffixes.contains(&suffix.unwrap()), "{line} in {family}");
    }
    assert_eq!(helped, types.keys().cloned().collect());
    types
}

#[tokio::test]
async fn metrics_are_well_formed_and_cover_requests_keys_and_freshness() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    scope.apply_key("ci", "");
    let credential = scope.credential(&scope.ready("ci").await).await;
    server.token_for(&credential).await;
    assert_eq!(
        server.token_of(&Login::of(&credential).forged(1)).status,
        401
    );
    for path in ["/oauth2/jwks", "/authz/x", "/nowhere"] {
        server.get(path, &[]);
    }
    let (code, text) = server.process.get("/metrics").unwrap();
    assert_eq!(code, 200);
    let families = families(&text);
    for (name, kind) in [
        ("apikey_http_requests", "counter"),
        ("apikey_http_request_duration_seconds", "histogram"),
        ("apikey_tokens_issued", "counter"),
        ("apikey_refusals", "counter"),
        ("apikey_secrets_verified", "counter"),
        ("apikey_index_keys", "gauge"),
        ("apikey_index_argon2_only_keys", "gauge"),
        ("apikey_index_refused_ids", "gauge"),
        ("apikey_index_unheard_seconds", "gauge"),
        ("apikey_argon2_checks_in_flight", "gauge"),
        ("apikey_signing_key_age_seconds", "gauge"),
        ("apikey_audit_lines_lost", "counter"),
        ("apikey_operator_build", "info"),
        ("rest_client_requests", "counter"),
    ] {
        assert_eq!(families.get(name).map(String::as_str), Some(kind), "{name}");
    }
    let staleness = server
        .process
        .metric("apikey_index_unheard_seconds")
        .unwrap();
    assert!((0.0..120.0).contains(&staleness), "{staleness}");
    assert!(server.process.metric("apikey_index_keys").unwrap() >= 1.0);
}

#[tokio::test]
async fn whoever_asks_for_the_classic_text_of_prometheus_gets_it() {
    let server = Scope::token_server().await;
    let ask = |fields: &str| server.process.ask("/metrics", fields).unwrap();
    let (head, text) = ask("Accept: text/plain\r\n");
    assert!(
        head.contains("content-type: text/plain; version=0.0.4"),
        "{head}"
    );
    assert!(!text.contains("# EOF") && text.contains("# TYPE apikey_index_keys gauge"));
    // Prometheus sends this header. It prefers OpenMetrics.
    let (head, text) = ask(
        "Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4\r\n",
    );
    assert!(head.contains("application/openmetrics-text"), "{head}");
    assert!(text.ends_with("# EOF\n"));
}
