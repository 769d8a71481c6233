//! Backoff before a failed watch is reopened.

use std::time::Duration;

use kube::runtime::utils;
use kube::runtime::watcher::DefaultBackoff;

/// Until a watch is open again, a deleted key is still accepted and a new one is unknown.
const LONGEST: Duration = Duration::from_secs(4);

/// The backoff of kube, which grows, limited to less than its 30 seconds.
#[derive(Default)]
pub struct Backoff(DefaultBackoff);

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next().map(|wait| wait.min(LONGEST))
    }
}

impl utils::Backoff for Backoff {
    fn reset(&mut self) {
        self.0.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_four_seconds_and_no_further() {
        let waits: Vec<_> = Backoff::default().take(12).collect();
        assert!(waits[0] < LONGEST, "{waits:?}");
        assert_eq!(waits[11], LONGEST, "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= LONGEST), "{waits:?}");
    }
}
