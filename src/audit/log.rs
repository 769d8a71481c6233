//! The audit log of a process: a bounded queue, and one thread that writes it to standard output.
//!
//! # Guarantees
//! - Lines are in the order in which their entries were recorded.
//! - Recording never waits for the reader of standard output. Entries that do not fit into the
//!   queue, and lines that can't be written, are counted in `apikey_audit_lines_lost_total`. A
//!   separate line reports them once writing works again.
//! - While standard output is read, [`AuditLog::written`] returns when all entries recorded before
//!   are written.
//!
//! Of each kind of entry that can flood the log, up to ten per second are written individually, and
//! the rest as one line with their number.

mod entry;
mod lines;

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::watch;

pub use self::entry::Entry;
use self::lines::{Failed, Lines};
use crate::metrics::Metrics;

/// Capacity of the queue: a few seconds of full load.
const QUEUE: usize = 100_000;
/// How long entries are gathered before they are written. Waking the thread for each entry would
/// cost more than the entry.
const GATHER: Duration = Duration::from_millis(10);
/// Longest wait before a flood is reported.
const REPORT_AFTER: Duration = Duration::from_secs(1);
/// Longest wait for lines that must be written first. It applies once each time the reader blocks.
const WRITTEN_WITHIN: Duration = Duration::from_millis(250);
/// Longest wait for the remaining lines at the end.
const CLOSED_WITHIN: Duration = Duration::from_secs(2);

/// Records entries. Clones share one log.
#[derive(Clone, Debug)]
pub struct AuditLog {
    shared: Arc<Shared>,
    progress: watch::Receiver<Progress>,
    patience: Duration,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    lost: Counter,
}

#[derive(Debug, Default)]
struct Queue {
    entries: Vec<Box<dyn Entry>>,
    /// Total number of entries that were queued.
    taken: u64,
    /// Entries that did not fit, and that no line reports yet.
    unreported: u64,
    /// Whether a caller waits for the queued entries.
    is_awaited: bool,
    /// Whether a caller waited in vain since a line was last written.
    is_stuck: bool,
    is_closed: bool,
}

/// Progress of the thread.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// Entries that were written, or lost in the attempt.
    done: u64,
    has_ended: bool,
}

impl AuditLog {
    /// Starts the thread that writes to standard output.
    ///
    /// # Errors
    /// The system can't start a thread, or standard output can't be shared with it.
    pub fn start(metrics: &Metrics) -> std::io::Result<Self> {
        // Bypasses the buffer of `Stdout`, which hides how much of a line was written.
        let output = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
        let log = Self::to(output, WRITTEN_WITHIN)?;
        metrics.extend(|registry| {
            registry.register(
                "apikey_audit_lines_lost",
                "Audit log lines that could not be written to standard output",
                log.shared.lost.clone(),
            );
        });
        Ok(log)
    }

    fn to(output: impl Write + Send + 'static, patience: Duration) -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let (sender, progress) = watch::channel(Progress::default());
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write_all(&theirs, &sender, output))?;
        Ok(Self {
            shared,
            progress,
            patience,
        })
    }

    /// Queues an entry.
    pub fn record(&self, entry: impl Entry + 'static) {
        let entry = Box::new(entry);
        let mut queue = self.shared.queue.lock();
        let is_first = queue.entries.is_empty();
        if queue.entries.len() < QUEUE && !queue.is_closed {
            queue.entries.push(entry);
            queue.taken += 1;
        } else {
            queue.unreported += 1;
            self.shared.lost.inc();
        }
        drop(queue);
        if is_first {
            self.shared.filled.notify_one();
        }
    }

    /// Waits until all recorded entries are written. If the reader is gone, it does not wait. If
    /// the reader blocks, it waits for a short time, and only the first time.
    pub async fn written(&self) {
        let taken = {
            let mut queue = self.shared.queue.lock();
            if queue.is_stuck {
                return;
            }
            queue.is_awaited = true;
            queue.taken
        };
        self.shared.filled.notify_one();
        let mut progress = self.progress.clone();
        let done = progress.wait_for(|progress| progress.done >= taken || progress.has_ended);
        if tokio::time::timeout(self.patience, done).await.is_err() {
            self.shared.queue.lock().is_stuck = true;
        }
    }

    /// Writes the queued entries and stops, in a bounded time.
    pub async fn close(&self) {
        self.shared.queue.lock().is_closed = true;
        self.shared.filled.notify_one();
        let mut progress = self.progress.clone();
        let ended = progress.wait_for(|progress| progress.has_ended);
        if tokio::time::timeout(CLOSED_WITHIN, ended).await.is_err() {
            let taken = self.shared.queue.lock().taken;
            let lines = taken.saturating_sub(self.progress.borrow().done);
            self.shared.lost.inc_by(lines);
            tracing::error!(
                lines,
                "Audit lines are lost because nothing reads standard output"
            );
        }
    }
}

/// The entries taken from the queue at once.
struct Batch {
    entries: Vec<Box<dyn Entry>>,
    unreported: u64,
    is_quiet: bool,
    is_last: bool,
}

/// Waits for entries and takes all of them.
fn take(shared: &Shared) -> Batch {
    let mut queue = shared.queue.lock();
    let mut is_quiet = false;
    if queue.entries.is_empty() && !queue.is_closed {
        is_quiet = shared.filled.wait_for(&mut queue, REPORT_AFTER).timed_out();
    }
    if !is_quiet && !queue.is_closed && !queue.is_awaited {
        shared.filled.wait_while_for(
            &mut queue,
            |queue| !queue.is_awaited && !queue.is_closed,
            GATHER,
        );
    }
    queue.is_awaited = false;
    Batch {
        entries: std::mem::take(&mut queue.entries),
        unreported: std::mem::take(&mut queue.unreported),
        is_quiet,
        is_last: queue.is_closed,
    }
}

/// Whether lines can't be written now.
#[derive(Default)]
struct Outage(bool);

impl Outage {
    /// Whether an outage begins with this attempt. An attempt without lines does not end an outage.
    fn begins(&mut self, written: &Result<bool, Failed>) -> bool {
        match written {
            Ok(wrote_any) => {
                self.0 &= !wrote_any;
                false
            }
            Err(_) => !std::mem::replace(&mut self.0, true),
        }
    }
}

fn write_all(shared: &Shared, sender: &watch::Sender<Progress>, mut output: impl Write) {
    let (mut lines, mut outage, mut done) = (Lines::default(), Outage::default(), 0);
    loop {
        let batch = take(shared);
        for entry in &batch.entries {
            lines.add(&**entry);
        }
        if batch.is_quiet || batch.is_last {
            lines.report_floods();
        }
        lines.lost("QueueFull", batch.unreported);
        let written = lines.write_to(&mut output);
        let begins = outage.begins(&written);
        match written {
            Ok(true) => shared.queue.lock().is_stuck = false,
            Ok(false) => {}
            Err(failed) => {
                shared.lost.inc_by(failed.lines);
                if begins {
                    tracing::error!(error = %failed.error, "Audit lines can't be written");
                }
            }
        }
        done += u64::try_from(batch.entries.len()).unwrap_or(u64::MAX);
        sender.send_replace(Progress {
            done,
            has_ended: batch.is_last,
        });
        if batch.is_last {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
