//! The audit trail of tokens: one line per token issued or refused, written beside the requests.
//!
//! A request only queues what happened; a thread formats and writes it. Refusals of one reason are
//! told one by one up to ten per second, the rest as one line with their number. The queue is
//! bounded: what does not fit (because nobody reads our standard output) is counted, and told as
//! soon as there is room.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use parking_lot::{Condvar, Mutex};
use serde::Serialize;
use uuid::Uuid;

use super::index::{Credential, Standing};
use super::refusal::Refusal;
use super::route::Route;
use crate::audit;

/// Refusals of one reason that are told one by one, per second.
const TOLD_PER_SECOND: u64 = 10;
/// Entries that may wait to be written: a few seconds of full load.
const QUEUE: usize = 100_000;
/// How long entries are gathered before they are written: a thread that is woken for each would cost
/// more than the entry.
const GATHER: Duration = Duration::from_millis(10);
/// Longest wait before what is known of a flood is told.
const TELL_AFTER: Duration = Duration::from_secs(1);

/// What happened to one request.
#[derive(Debug)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// Which route was asked.
    pub route: Route,
    /// Who asked.
    pub remote: IpAddr,
    /// The key, if it is known.
    pub credential: Option<Arc<Credential>>,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a request.
#[derive(Debug)]
pub enum Outcome {
    /// A token.
    Issued {
        /// Its id.
        jti: String,
        /// When it ends. Unit: seconds since 1970.
        exp: i64,
        /// The organization acted in.
        organization_id: Uuid,
        /// Number of the secret that was presented.
        revision: i64,
    },
    /// Nothing.
    Refused(Refusal),
}

/// One line.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    time: Time,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    org: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    roles: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<IpAddr>,
    source: &'static str,
}

impl<'a> Line<'a> {
    const fn new(at: Timestamp, action: &'static str) -> Self {
        Self {
            time: Time(at),
            action,
            actor: None,
            key_id: None,
            namespace: None,
            name: None,
            org: None,
            roles: None,
            revision: None,
            expires_at: None,
            jti: None,
            reason: None,
            count: None,
            route: None,
            remote: None,
            source: "token-server",
        }
    }

    fn of(entry: &'a Entry) -> Self {
        let action = match entry.outcome {
            Outcome::Issued { .. } => "IssueToken",
            Outcome::Refused(_) => "Refuse",
        };
        let mut line = Self::new(entry.at, action);
        line.route = Some(entry.route.as_str());
        line.remote = Some(entry.remote);
        if let Some(credential) = entry.credential.as_deref() {
            line.actor = Some(credential.email());
            line.key_id = Some(credential.key_id().as_str());
            line.namespace = Some(&credential.key.namespace);
            line.name = Some(&credential.key.name);
            line.org = Some(&credential.org);
        }
        match &entry.outcome {
            Outcome::Refused(refusal) => line.reason = Some(refusal.as_str()),
            Outcome::Issued {
                jti,
                exp,
                organization_id,
                revision,
            } => {
                line.jti = Some(jti);
                line.revision = Some(*revision);
                line.expires_at = Timestamp::from_second(*exp).ok().map(Time);
                let standing = entry.credential.as_deref().map(|c| &c.standing);
                if let Some(Standing::Usable { grants, .. }) = standing {
                    let mut grants = grants.iter();
                    let grant = grants.find(|g| g.organization_id == *organization_id);
                    line.org = grant.map(|grant| grant.organization.as_str());
                    line.roles = grant.map(|grant| grant.roles.as_slice());
                }
            }
        }
        line
    }
}

/// Turns entries into lines, and floods of refusals into numbers.
#[derive(Debug, Default)]
struct Writer {
    second: i64,
    refused: BTreeMap<Refusal, u64>,
    last: Option<Timestamp>,
    lines: Vec<u8>,
}

impl Writer {
    fn take(&mut self, entry: &Entry) {
        if entry.at.as_second() != self.second {
            self.tell();
            self.second = entry.at.as_second();
        }
        self.last = Some(entry.at);
        if let Outcome::Refused(refusal) = entry.outcome {
            let count = self.refused.entry(refusal).or_default();
            *count += 1;
            if *count > TOLD_PER_SECOND {
                return;
            }
        }
        self.write(&Line::of(entry));
    }

    /// Tells how many refusals were not told one by one.
    fn tell(&mut self) {
        let Some(at) = self.last else {
            return;
        };
        for (refusal, count) in std::mem::take(&mut self.refused) {
            if let Some(more) = count.checked_sub(TOLD_PER_SECOND).filter(|more| *more > 0) {
                let mut line = Line::new(at, "Refuse");
                line.reason = Some(refusal.as_str());
                line.count = Some(more);
                self.write(&line);
            }
        }
    }

    fn tell_lost(&mut self, lost: u64) {
        let Some(at) = self.last.filter(|_| lost > 0) else {
            return;
        };
        let mut line = Line::new(at, "Lost");
        line.reason = Some("QueueFull");
        line.count = Some(lost);
        self.write(&line);
    }

    fn write(&mut self, line: &Line<'_>) {
        match serde_json::to_writer(&mut self.lines, line) {
            Ok(()) => self.lines.push(b'\n'),
            Err(error) => tracing::error!(%error, "Failed to write an audit line"),
        }
    }
}

/// Takes entries for the trail.
#[derive(Debug)]
pub struct Trail {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    entries: Vec<Entry>,
    untold: u64,
    lost: u64,
    closed: bool,
}

impl Trail {
    /// Starts the thread that writes.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start() -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write_all(&theirs))?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Queues an entry.
    pub fn record(&self, entry: Entry) {
        let mut queue = self.shared.queue.lock();
        let wake = queue.entries.is_empty();
        if queue.entries.len() < QUEUE {
            queue.entries.push(entry);
        } else {
            queue.untold += 1;
            queue.lost += 1;
        }
        drop(queue);
        if wake {
            self.shared.filled.notify_one();
        }
    }

    /// Entries that found no room, ever.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared.queue.lock().lost
    }

    /// Writes what is queued and ends.
    pub fn close(&self) {
        self.shared.queue.lock().closed = true;
        self.shared.filled.notify_one();
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}

fn write_all(shared: &Shared) {
    let mut writer = Writer::default();
    loop {
        let mut queue = shared.queue.lock();
        let mut quiet = false;
        if queue.entries.is_empty() && !queue.closed {
            quiet = shared.filled.wait_for(&mut queue, TELL_AFTER).timed_out();
        }
        if !quiet && !queue.closed {
            drop(queue);
            std::thread::sleep(GATHER);
            queue = shared.queue.lock();
        }
        let entries = std::mem::take(&mut queue.entries);
        let untold = std::mem::take(&mut queue.untold);
        let closed = queue.closed;
        drop(queue);
        for entry in &entries {
            writer.take(entry);
        }
        writer.tell_lost(untold);
        if quiet || closed {
            writer.tell();
        }
        if !writer.lines.is_empty() {
            audit::write_lines(&writer.lines);
            writer.lines.clear();
        }
        if closed {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(second: i64, refusal: Refusal) -> Entry {
        Entry {
            at: Timestamp::from_second(second).unwrap(),
            route: Route::Token,
            remote: [192, 0, 2, 1].into(),
            credential: None,
            outcome: Outcome::Refused(refusal),
        }
    }

    fn lines(writer: &Writer) -> Vec<serde_json::Value> {
        let text = std::str::from_utf8(&writer.lines).unwrap();
        let parsed = text.lines().map(serde_json::from_str);
        parsed.map(Result::unwrap).collect()
    }

    #[test]
    fn a_flood_is_told_by_its_number_and_nothing_is_missing() {
        let mut writer = Writer::default();
        (0..1000).for_each(|_| writer.take(&refusal(100, Refusal::WrongSecret)));
        writer.take(&refusal(100, Refusal::Expired));
        writer.take(&refusal(101, Refusal::WrongSecret));
        let lines = lines(&writer);
        let of = |reason: &str| {
            let ours = lines.iter().filter(move |line| line["reason"] == reason);
            ours.map(|line| line["count"].as_u64().unwrap_or(1))
                .collect::<Vec<_>>()
        };
        assert_eq!(of("WrongSecret").iter().sum::<u64>(), 1001);
        assert_eq!(of("WrongSecret").len() as u64, TOLD_PER_SECOND + 2);
        assert_eq!(of("Expired"), [1]);
    }

    #[test]
    fn a_full_queue_counts_what_it_loses() {
        let shared = Arc::<Shared>::default();
        let trail = Trail {
            shared: Arc::clone(&shared),
            thread: Mutex::new(None),
        };
        (0..QUEUE + 7).for_each(|_| trail.record(refusal(1, Refusal::UnknownKey)));
        assert_eq!(trail.lost(), 7);
        assert_eq!(shared.queue.lock().entries.len(), QUEUE);
    }
}
