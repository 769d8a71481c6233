//! No secret value appears outside its Secret.

use apikey_api::names;
use kube::api::ListParams;

use crate::support::{Cluster, eventually};

/// Runs the whole life of a key at trace level and full hashing cost. Then searches for the secrets in everything
/// that the operator wrote, and in everything that the API shows outside of Secrets.
#[tokio::test]
async fn a_secret_is_in_no_log_event_status_metric_or_audit_line() {
    let cluster = Cluster::start();
    let operator = cluster.operator_at_full_cost(&["--log-level=trace"]);
    let scope = cluster.scope().await;
    scope.apply_key(
        "ci",
        "secret: {keys: {secret: API_KEY_SECRET}, template: {labels: {a: b}}}",
    );
    let key = scope.ready("ci").await;
    let first = scope.credential(&key).await;
    let hash = &first.document.current.hash;
    assert!(
        hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{hash}"
    );
    scope.kubectl(&["delete", "secret", "ci"]);
    let key = scope
        .key("ci", "replaced", |key| {
            key.status.as_ref().is_some_and(|s| s.revision == Some(2))
        })
        .await;
    let second = scope.credential(&key).await;
    second.assert_sound();
    scope.apply_key(
        "ci",
        "roles: [other], secret: {keys: {secret: API_KEY_SECRET}}",
    );
    scope.ready("ci").await;
    let metrics = operator.get("/metrics").unwrap().1;
    let events = eventually("the API server has the Events", async || {
        let events = scope.kubectl(&["get", "events", "-o", "yaml"]);
        (events.contains("Issued") && events.contains("Replaced")).then_some(events)
    })
    .await;
    let objects = scope.kubectl(&["get", "apikeys,organizations", "-A", "-o", "yaml"]);
    let delivered = ListParams::default().labels(&names::component_selector("api-key"));
    let metadata = scope.secrets().list_metadata(&delivered).await.unwrap();
    let metadata = serde_json::to_string(&metadata.items).unwrap();
    let audit = serde_json::to_string(&operator.audit()).unwrap();
    let api_server = std::fs::read_to_string(cluster.control_plane.audit_log()).unwrap();
    let logs = operator.stderr();
    assert!(logs.contains("TRACE") && audit.contains("Replace") && metrics.contains("apikeys"));

    for credential in [&first, &second] {
        let secret = credential.secret();
        let random = secret.expose().rsplit_once('_').unwrap().1.to_owned();
        let encoded = credential.delivered.data.as_ref().unwrap()["secret"].clone();
        let encoded = serde_json::to_string(&encoded)
            .unwrap()
            .trim_matches('"')
            .to_owned();
        let hash = credential.document.current.hash.clone();
        for (place, text) in [
            ("logs", &logs),
            ("metrics", &metrics),
            ("events", &events),
            ("objects", &objects),
            ("metadata", &metadata),
            ("audit lines", &audit),
            ("audit log of the API server", &api_server),
        ] {
            for value in [&random, &encoded, &hash] {
                assert!(
                    !text.contains(value.as_str()),
                    "the {place} contains a secret or hash"
                );
            }
        }
    }
}
