//! The operator's requests, from the API server's audit log.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::common::cluster::Cluster;

const USER: &str = "system:serviceaccount:apikey-operator:apikey-operator";

/// Looks at the log this often, until it has stayed the same as often as this.
const LOOK: Duration = Duration::from_secs(1);
const SAME: u32 = 3;

/// Number of requests by verb, resource and, for failures, status code.
pub(crate) type Counts = BTreeMap<String, u32>;

/// All requests so far but lists, watches and those for the lease, once there are no more: Events
/// are written in the background.
pub(crate) async fn settled(cluster: &Cluster) -> Counts {
    let mut tick = tokio::time::interval(LOOK);
    let mut counts = Counts::new();
    let mut same = 0;
    while same < SAME {
        tick.tick().await;
        let now = count(cluster);
        same = if now == counts { same + 1 } else { 0 };
        counts = now;
    }
    counts
}

/// What was added since.
pub(crate) fn since(before: &Counts, now: &Counts) -> Counts {
    now.iter()
        .map(|(request, count)| (request.clone(), count - before.get(request).unwrap_or(&0)))
        .filter(|(_, count)| *count > 0)
        .collect()
}

fn count(cluster: &Cluster) -> Counts {
    let log = std::fs::read_to_string(cluster.control_plane.audit_log()).unwrap();
    let mut counts = Counts::new();
    for line in log.lines().filter(|line| line.contains(USER)) {
        // The last line may be incomplete.
        let Ok(entry) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        if let Some(request) = request(&entry) {
            *counts.entry(request).or_default() += 1;
        }
    }
    counts
}

fn request(entry: &Value) -> Option<String> {
    let text = |pointer| entry.pointer(pointer).and_then(Value::as_str);
    let verb = text("/verb")?;
    let resource = text("/objectRef/resource").or_else(|| text("/requestURI"))?;
    if text("/user/username") != Some(USER)
        || text("/stage") != Some("ResponseComplete")
        || ["watch", "list"].contains(&verb)
        || resource == "leases"
    {
        return None;
    }
    let part = text("/objectRef/subresource")
        .map(|part| format!("/{part}"))
        .unwrap_or_default();
    let code = entry
        .pointer("/responseStatus/code")
        .and_then(Value::as_u64);
    let code = code
        .filter(|code| *code >= 400)
        .map(|code| format!(" ({code})"));
    Some(format!(
        "{verb} {resource}{part}{}",
        code.unwrap_or_default()
    ))
}
