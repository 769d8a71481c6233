//! The state that all tasks share.

use std::net::SocketAddr;
use std::time::Duration;

use apikey_client::clock::Clock;
use hdrhistogram::Histogram;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Client;
use parking_lot::Mutex;

use crate::hostile_object::Kind;
use crate::ledger::Ledger;

/// Namespace of all keys.
pub(crate) const NAMESPACE: &str = "soak";
/// The longest time until a deletion or a suspension has its effect, while the API server is available.
pub(crate) const IN_TIME: SignedDuration = SignedDuration::from_secs(15);

/// The state that all tasks share.
pub(crate) struct World {
    pub(crate) client: Client,
    /// Address of the token server.
    pub(crate) server: SocketAddr,
    pub(crate) clock: Clock,
    pub(crate) ledger: Mutex<Ledger>,
    pub(crate) tally: Mutex<PhaseCounts>,
    /// When the API server last became available. `None` while it is away.
    pub(crate) back: Mutex<Option<Timestamp>>,
}

impl World {
    /// How long the operator could have known a change that was confirmed at `confirmed`.
    pub(crate) fn since_known(&self, confirmed: Timestamp, now: Timestamp) -> SignedDuration {
        let back = self.back.lock();
        back.map_or(SignedDuration::ZERO, |back| {
            now.duration_since(back.max(confirmed))
        })
    }
}

/// Counts and times so far.
pub(crate) struct PhaseCounts {
    pub(crate) counts: Counts,
    /// Response times of valid requests since the last sample. Unit: microseconds.
    pub(crate) times: Histogram<u64>,
    /// The longest time from a confirmed deletion to a request that got a token.
    pub(crate) longest_after_deletion: SignedDuration,
    /// The longest time from a confirmed change of `suspended` to a request that was answered as before.
    pub(crate) longest_to_suspension: SignedDuration,
}

/// Counts of events so far.
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
    /// Valid requests that got 503.
    pub(crate) unavailable: u32,
    /// Valid requests without a response.
    pub(crate) unanswered: u32,

    pub(crate) suspensions: u32,
    /// Changes of `suspended` and deletions that had no effect in time.
    pub(crate) suspensions_unseen: u32,
    pub(crate) deletions_unseen: u32,
    /// Objects that the hostile tenant stored, by kind.
    pub(crate) hostile: [u32; Kind::ALL.len()],

    pub(crate) forged_accepted: u32,
    pub(crate) forged_refused: u32,
    pub(crate) forged_unanswered: u32,
}

impl PhaseCounts {
    pub(crate) fn new() -> Self {
        Self {
            counts: Counts::default(),
            times: Histogram::new(3).unwrap(),
            longest_after_deletion: SignedDuration::ZERO,
            longest_to_suspension: SignedDuration::ZERO,
        }
    }
}

/// Waits.
pub(crate) async fn pass(time: Duration) {
    let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
}
