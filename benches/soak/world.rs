//! What all tasks share.

use std::net::SocketAddr;
use std::time::Duration;

use apikey_operator::clock::Clock;
use hdrhistogram::Histogram;
use k8s_openapi::jiff::SignedDuration;
use kube::Client;
use parking_lot::Mutex;

use crate::ledger::Ledger;

/// Namespace of all keys.
pub(crate) const NAMESPACE: &str = "soak";

/// What all tasks share.
pub(crate) struct World {
    pub(crate) client: Client,
    /// Address of the token server.
    pub(crate) server: SocketAddr,
    pub(crate) clock: Clock,
    pub(crate) ledger: Mutex<Ledger>,
    pub(crate) tally: Mutex<Tally>,
}

/// What happened so far.
pub(crate) struct Tally {
    pub(crate) counts: Counts,
    /// Times of answers to holders of keys since the last sample. Unit: microseconds.
    pub(crate) times: Histogram<u64>,
    /// Longest time from a confirmed deletion to a question that was answered with a token.
    pub(crate) longest_after_deletion: SignedDuration,
}

/// Numbers of what happened so far.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) created: u32,
    pub(crate) deleted: u32,
    pub(crate) rotated: u32,
    pub(crate) roles_changed: u32,

    pub(crate) issued: u32,
    pub(crate) late: u32,
    /// Tokens that are valid after the expiry of their key.
    pub(crate) outliving: u32,
    pub(crate) issued_after_deletion: u32,
    pub(crate) rightly_refused: u32,
    pub(crate) not_yet_known: u32,
    pub(crate) wrongly_refused: u32,
    /// Questions of holders of keys that the server answered with 503.
    pub(crate) unavailable: u32,
    /// Questions of holders of keys without an answer.
    pub(crate) unanswered: u32,

    /// What the hostile tenant wrote.
    pub(crate) hostile_writes: u32,

    pub(crate) forged_accepted: u32,
    pub(crate) forged_refused: u32,
    pub(crate) forged_unanswered: u32,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            counts: Counts::default(),
            times: Histogram::new(3).unwrap(),
            longest_after_deletion: SignedDuration::ZERO,
        }
    }
}

/// Waits.
pub(crate) async fn pass(time: Duration) {
    let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
}
