//! Waits until the progress of the watches may have changed.

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::{CacheSync, Watch};

/// The changes of a [`CacheSync`] since this was created.
#[derive(Debug)]
pub struct Changes {
    of: CacheSync,
    changed: watch::Receiver<()>,
}

impl Changes {
    pub(super) fn new(of: CacheSync) -> Self {
        let changed = of.changed.subscribe();
        Self { of, changed }
    }

    /// Waits until a watch has begun, has been listed, has delivered something or has failed, or
    /// until the start no longer waits for a watch that is denied access. Returns at once if one of
    /// that has happened since the last call. `seen` is when the caller looked at what is waited for.
    ///
    /// What a watch delivered has been taken in before.
    pub async fn next(&mut self, seen: Instant) {
        // The sender lives as long as `of`.
        match self.next_given_up_at(seen) {
            Some(at) => {
                let _ = timeout_at(at, self.changed.changed()).await;
            }
            None => {
                let _ = self.changed.changed().await;
            }
        }
    }

    fn next_given_up_at(&self, now: Instant) -> Option<Instant> {
        let watches = self.of.watches.lock();
        let held_up = watches.iter().filter(|watch| watch.holds_up(now));
        held_up.filter_map(Watch::given_up_at).min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt as _;
    use k8s_openapi::jiff::Timestamp;

    use super::super::PATIENCE;
    use super::*;
    use crate::watch::scope::WatchScope;

    #[tokio::test]
    async fn each_change_wakes_the_waiter_once_and_none_is_missed() {
        let cache_sync = CacheSync::default();
        let mut changes = cache_sync.changes();
        assert!(changes.next(Instant::now()).now_or_never().is_none());
        let id = cache_sync.begin("peppers", &WatchScope::Everything);
        assert!(changes.next(Instant::now()).now_or_never().is_some());
        cache_sync.fresh(id, Timestamp::UNIX_EPOCH);
        assert!(changes.next(Instant::now()).now_or_never().is_none());
        let steps: [fn(&CacheSync, _); 4] = [
            |sync, id| sync.refused(id, Instant::now()),
            |sync, id| sync.broke(id, Instant::now()),
            CacheSync::listed,
            CacheSync::delivered,
        ];
        for step in steps {
            step(&cache_sync, id);
            assert!(changes.next(Instant::now()).now_or_never().is_some());
            assert!(changes.next(Instant::now()).now_or_never().is_none());
        }
    }

    #[tokio::test]
    async fn a_waiter_sees_that_all_is_listed_when_the_last_list_is_complete() {
        let cache_sync = CacheSync::default();
        let ids = ["peppers", "records"].map(|what| {
            let whole = WatchScope::Everything;
            cache_sync.begin(what, &whole)
        });
        let mut changes = cache_sync.changes();
        let waiter = tokio::spawn({
            let cache_sync = cache_sync.clone();
            async move {
                while !cache_sync.waiting(Instant::now()).is_empty() {
                    changes.next(Instant::now()).await;
                }
            }
        });
        for id in ids {
            tokio::task::yield_now().await;
            assert!(!waiter.is_finished());
            cache_sync.listed(id);
        }
        waiter.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_wakes_when_patience_with_a_namespace_ends_and_for_the_cluster_never() {
        let cache_sync = CacheSync::default();
        let begin = Instant::now();
        let one = cache_sync.begin("apikeys", &WatchScope::Namespace("a".into()));
        let mut changes = cache_sync.changes();
        cache_sync.refused(one, begin);
        changes.next(Instant::now()).await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
        changes.next(Instant::now()).await;
        assert_eq!(begin.elapsed(), PATIENCE);
        assert!(cache_sync.waiting(Instant::now()).is_empty());

        let seen = Instant::now();
        let other = cache_sync.begin("apikeys", &WatchScope::Namespace("b".into()));
        cache_sync.refused(other, seen);
        changes.next(seen).await;
        tokio::time::advance(PATIENCE).await;
        let at_once = changes.next(seen).now_or_never();
        assert!(at_once.is_some(), "it ended after the caller looked");

        let whole = cache_sync.begin("organizations", &WatchScope::Everything);
        cache_sync.refused(whole, begin);
        changes.next(Instant::now()).await;
        let much_later = tokio::time::timeout(100 * PATIENCE, changes.next(Instant::now()));
        assert!(much_later.await.is_err());
        assert_eq!(cache_sync.waiting(Instant::now()), ["organizations"]);
    }
}
