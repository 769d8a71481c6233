//! A key that changes all the time fills neither the log nor the Events.

use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::support::{Cluster, eventually};

/// The number of changes. Each may cause an Event and a log line.
const CHANGES: usize = 200;
/// The burst of messages, and those that the limit allows during the test.
const MOST: usize = 40;

#[tokio::test]
async fn a_key_that_changes_all_the_time_fills_neither_log_nor_events_and_the_audit_log_has_all() {
    let cluster = Cluster::start();
    let operator = cluster.operator(&["--leader-elect=false"]);
    let scope = cluster.scope().await;
    scope.apply_key("loud", "");
    scope.ready("loud").await;
    let keys = scope.keys();
    for n in 0..CHANGES {
        let suspended = n % 2 == 0;
        let patch = Patch::Merge(json!({"spec": {"suspended": suspended}}));
        let patched = keys.patch("loud", &PatchParams::default(), &patch).await;
        patched.unwrap();
        let what = if suspended { "Suspended" } else { "Issued" };
        scope
            .key("loud", what, |key| {
                crate::support::ready_reason(key).1 == what
            })
            .await;
    }
    let audit = operator.audit();
    let of = |action: &str| audit.iter().filter(|line| line["action"] == action).count();
    assert_eq!([of("Suspend"), of("Resume")], [CHANGES / 2; 2]);
    let log = operator.stderr();
    let changes = log.lines().filter(|line| line.contains("Status changed"));
    let changes = changes.count();
    assert!((10..=MOST).contains(&changes), "{changes} lines");
    scope.apply_key("quiet", "");
    scope.ready("quiet").await;
    eventually("the API server has an Event of the other key", async || {
        let events = scope.kubectl(&["events", "--for", "apikey/quiet", "-o", "json"]);
        events.contains("\"Issued\"").then_some(())
    })
    .await;
    let events = scope.kubectl(&["events", "--for", "apikey/loud", "-o", "json"]);
    let events = events.matches("\"reason\"").count();
    assert!(events <= MOST, "{events} Events");
}
