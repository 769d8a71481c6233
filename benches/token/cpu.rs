//! Pins threads to cores, and measures their CPU time.

use std::fs::{read_dir, read_link, read_to_string};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The core of the server.
pub(crate) const SERVER: &str = "0";
/// The core of the load generator.
pub(crate) const CALLER: &str = "1";

/// Pins this thread, and those that it starts, to one core.
pub(crate) fn pin_this_thread(core: &str) {
    let id = read_link("/proc/thread-self").unwrap();
    let output = Command::new("taskset")
        .args(["--pid", "--cpu-list", core])
        .arg(id.file_name().unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "taskset: {output:?}");
}

/// Runs a function on a new thread that is pinned to one core.
pub(crate) fn on_core<T: Send>(core: &str, work: impl FnOnce() -> T + Send) -> T {
    let pinned = || {
        pin_this_thread(core);
        work()
    };
    std::thread::scope(|scope| scope.spawn(pinned).join().unwrap())
}

/// Time on a core, and time of waiting for a core that another thread used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Use {
    busy: Duration,
    waiting: Duration,
}

impl Use {
    pub(crate) fn of_this_thread() -> Self {
        Self::read(Path::new("/proc/thread-self/schedstat")).unwrap()
    }

    /// The times of all threads of a process. They wait mostly for each other.
    pub(crate) fn of_process(pid: &str) -> Self {
        let threads = read_dir(format!("/proc/{pid}/task")).unwrap();
        let mut all = Self::default();
        for thread in threads {
            // A thread may end at any time.
            let used = Self::read(&thread.unwrap().path().join("schedstat"));
            all.busy += used.unwrap_or_default().busy;
        }
        all
    }

    fn read(path: &Path) -> Option<Self> {
        let text = read_to_string(path).ok()?;
        let mut numbers = text.split_ascii_whitespace().map(str::parse);
        let mut next = || Some(Duration::from_nanos(numbers.next()?.ok()?));
        Some(Self {
            busy: next()?,
            waiting: next()?,
        })
    }

    /// The use since `before`, as parts of a core.
    pub(crate) fn since(self, before: Self, time: Duration) -> Share {
        let part =
            |now: Duration, then| now.saturating_sub(then).as_secs_f64() / time.as_secs_f64();
        Share {
            busy: part(self.busy, before.busy),
            waiting: part(self.waiting, before.waiting),
        }
    }
}

/// Parts of a core.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Share {
    pub(crate) busy: f64,
    pub(crate) waiting: f64,
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0} %", self.busy * 100.0)?;
        if self.waiting > 0.02 {
            write!(f, " (kept from it {:.0} %)", self.waiting * 100.0)?;
        }
        Ok(())
    }
}
