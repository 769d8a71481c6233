//! The operator's requests, from the API server's audit log.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::time::Duration;

use serde_json::Value;

use crate::common::cluster::Cluster;
use crate::common::operator::OPERATOR_NAMESPACE;

/// The interval between reads of the log, and how many reads without work mean that the operator is idle. Events
/// and the key counts of organizations are written in the background.
const LOOK: Duration = Duration::from_secs(1);
const IDLE: u32 = 7;

/// Number of requests by verb, resource and, for failures, status code.
pub(crate) type Counts = BTreeMap<String, u32>;

/// Follows the requests of one account.
pub(crate) struct Requests {
    log: BufReader<File>,
    /// The incomplete last line of the previous read.
    line: String,
    user: String,
}

/// Requests by purpose.
#[derive(Default)]
pub(crate) struct Seen {
    /// Requests because something changed.
    pub(crate) work: Counts,
    /// Requests that are always made: watches, the lists before them, and the lease.
    pub(crate) upkeep: Counts,
}

impl Requests {
    /// Follows the requests of a ServiceAccount of the operator's namespace.
    pub(crate) fn of(cluster: &Cluster, account: &str) -> Self {
        let log = File::open(cluster.control_plane.audit_log()).unwrap();
        Self {
            log: BufReader::new(log),
            line: String::new(),
            user: format!("system:serviceaccount:{OPERATOR_NAMESPACE}:{account}"),
        }
    }

    /// Waits until the operator is idle. Returns the requests since the last call.
    pub(crate) async fn settled(&mut self) -> Seen {
        let mut tick = tokio::time::interval(LOOK);
        let mut all = Seen::default();
        let mut idle = 0;
        while idle < IDLE {
            tick.tick().await;
            let new = self.now();
            idle = if new.work.is_empty() { idle + 1 } else { 0 };
            all.add(new);
        }
        all
    }

    /// The requests since the last call.
    pub(crate) fn now(&mut self) -> Seen {
        let mut seen = Seen::default();
        while self.log.read_line(&mut self.line).unwrap() > 0 {
            // The last line may be incomplete.
            if !self.line.ends_with('\n') {
                break;
            }
            if self.line.contains(&self.user) {
                seen.count(&serde_json::from_str(&self.line).unwrap(), &self.user);
            }
            self.line.clear();
        }
        seen
    }
}

impl Seen {
    fn count(&mut self, entry: &Value, user: &str) {
        let text = |pointer| entry.pointer(pointer).and_then(Value::as_str);
        let resource = text("/objectRef/resource").or_else(|| text("/requestURI"));
        let (Some(verb), Some(resource)) = (text("/verb"), resource) else {
            return;
        };
        let theirs = text("/user/username") == Some(user);
        if !theirs || text("/stage") != Some("ResponseComplete") {
            return;
        }
        let part = text("/objectRef/subresource")
            .map(|part| format!("/{part}"))
            .unwrap_or_default();
        let code = entry
            .pointer("/responseStatus/code")
            .and_then(Value::as_u64)
            .filter(|code| *code >= 400)
            .map(|code| format!(" ({code})"))
            .unwrap_or_default();
        let counts = if ["watch", "list"].contains(&verb) || resource == "leases" {
            &mut self.upkeep
        } else {
            &mut self.work
        };
        *counts
            .entry(format!("{verb} {resource}{part}{code}"))
            .or_default() += 1;
    }

    fn add(&mut self, other: Self) {
        let add = |counts: &mut Counts, more: Counts| {
            for (request, count) in more {
                *counts.entry(request).or_default() += count;
            }
        };
        add(&mut self.work, other.work);
        add(&mut self.upkeep, other.upkeep);
    }
}

/// Each kind of request with its number for one of `keys`.
pub(crate) fn per_key(counts: &Counts, keys: u32) -> String {
    let part = |(request, count): (&String, &u32)| {
        format!("{request} {:.3}", f64::from(*count) / f64::from(keys))
    };
    counts.iter().map(part).collect::<Vec<_>>().join(", ")
}
