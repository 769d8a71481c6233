//! Metrics, Events and audit lines of the operator.

use apikey_api::names;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::support::{Operator, Scope, eventually};

/// Waits until the metrics of the shared operator have these lines. A test can read a status before
/// the operator has updated its metrics.
async fn metrics_with(lines: &[String]) -> String {
    eventually(&format!("the metrics have {lines:#?}"), async || {
        let (code, text) = Scope::operator(|operator| operator.get("/metrics"))?;
        assert_eq!(code, 200);
        lines.iter().all(|line| text.contains(line)).then_some(text)
    })
    .await
}

#[tokio::test]
async fn metrics_cover_keys_reconciles_and_requests() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    let key = scope.ready("ci").await;
    let expiry = key.status.unwrap().expires_at.unwrap().0.as_second();
    let (org, namespace) = (scope.org(), &scope.namespace);
    let text = metrics_with(&[
        format!("apikeys{{org=\"{org}\",phase=\"Active\"}} 1"),
        format!(
            "apikey_expiration_timestamp_seconds{{namespace=\"{namespace}\",name=\"ci\"}} {expiry}"
        ),
        format!("apikey_status_phase{{namespace=\"{namespace}\",name=\"ci\",phase=\"Active\"}} 1"),
        format!("apikey_status_phase{{namespace=\"{namespace}\",name=\"ci\",phase=\"Expired\"}} 0"),
        "controller_runtime_max_concurrent_reconciles{controller=\"apikey\"} 32".to_owned(),
        "leader_election_master_status{name=\"apikey-operator-controller\"} 1".to_owned(),
    ])
    .await;
    for name in [
        "controller_runtime_reconcile_total",
        "controller_runtime_reconcile_time_seconds_bucket",
        "controller_runtime_active_workers",
        "rest_client_requests_total",
        "apikey_operator_build_info",
    ] {
        assert!(
            text.lines().any(|line| line.starts_with(name)),
            "{name} is missing"
        );
    }
}

#[tokio::test]
async fn keys_that_no_organization_allows_move_no_number_of_one_and_make_no_series() {
    let (victim, stranger) = (Scope::shared().await, Scope::shared().await);
    let org = victim.org();
    let rule = format!("{{allowedNamespaces: {{from: Names, names: [{org}]}}}}");
    victim.declare(org, &rule);
    victim.apply_key("ci", "");
    victim.ready("ci").await;
    let made_up = format!("{org}-made-up");
    stranger.apply_key("a", &format!("org: {org}"));
    stranger.apply_key("b", &format!("org: {made_up}"));
    stranger.refused("a", "NamespaceNotAllowed").await;
    stranger.refused("b", "OrganizationNotFound").await;
    let text = metrics_with(&[
        format!("apikeys{{org=\"{org}\",phase=\"Active\"}} 1\n"),
        format!("apikeys{{org=\"{org}\",phase=\"Pending\"}} 0\n"),
    ])
    .await;
    assert!(!text.contains(&made_up), "{text}");
    let refused = Scope::operator(|o| o.metric("apikeys{org=\"\",phase=\"Pending\"}"));
    assert!(refused >= Some(2.0), "{refused:?}");
}

#[tokio::test]
async fn metrics_have_from_when_and_how_long_a_key_and_its_replaced_secret_are_valid() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    let created = scope.ready("ci").await.metadata.creation_timestamp.unwrap();
    let of_key = |metric: &str| {
        let namespace = &scope.namespace;
        let series = format!("{metric}{{namespace=\"{namespace}\",name=\"ci\"}}");
        let value = Scope::operator(|operator| operator.metric(&series));
        value.map(|seconds| seconds.to_string())
    };
    let seconds = |time: Time| Some(time.0.as_second().to_string());
    let created = seconds(created);
    eventually("the metrics have the creation time", async || {
        (of_key("apikey_creation_timestamp_seconds") == created).then_some(())
    })
    .await;
    let replaced = "apikey_previous_secret_expiration_timestamp_seconds";
    assert_eq!(of_key(replaced), None);
    let status = scope.rotate("ci", "1").await.status.unwrap();
    let end = seconds(status.previous_secret.unwrap().valid_until);
    eventually(
        "the metrics have the end of the replaced secret",
        async || (of_key(replaced) == end).then_some(()),
    )
    .await;
    scope
        .annotate("ci", &[(names::ANNOTATION_DISCARD_PREVIOUS, "1")])
        .await;
    eventually("the metrics have no replaced secret any more", async || {
        of_key(replaced).is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn events_cover_the_life_of_a_key_with_fixed_reasons() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "roles: [viewer]");
    scope.ready("ci").await;
    scope.apply_key("ci", "roles: [operator]");
    let describe = eventually("the API server has Events about the key", async || {
        let text = scope.kubectl(&["describe", "apikey", "ci"]);
        (text.contains("Issued") && text.contains("Updated")).then_some(text)
    })
    .await;
    assert!(
        describe.contains("Roles are now [operator], they were [viewer]"),
        "{describe}"
    );
}

#[tokio::test]
async fn audit_lines_have_who_what_and_when() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "roles: [viewer]");
    let key = scope.ready("ci").await;
    let email = key.status.unwrap().email.unwrap();
    scope.apply_key("ci", "roles: [operator]");
    scope.apply_key("ci", "roles: [operator], suspended: true");
    scope.wait("condition=Suspended", "apikey/ci");
    scope.apply_key("ci", "roles: [operator]");
    scope.ready("ci").await;
    let lines = Scope::operator(Operator::audit);
    let ours: Vec<_> = lines
        .iter()
        .filter(|line| line["actor"] == email.as_str())
        .collect();
    let actions: Vec<_> = ours
        .iter()
        .map(|line| line["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions.first(), Some(&"Create"));
    assert_eq!(actions.last(), Some(&"Resume"));
    assert!(actions.contains(&"Suspend"), "{actions:?}");
    let update = ours
        .iter()
        .find(|line| line["action"] == "Update")
        .expect("an Update");
    assert_eq!(update["roles"], serde_json::json!(["operator"]));
    assert_eq!(update["previousRoles"], serde_json::json!(["viewer"]));
    assert_eq!(update["org"], scope.org());
}
