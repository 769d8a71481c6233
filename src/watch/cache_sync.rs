//! Progress of the watches: which have received a complete list, which may lack changes, and the
//! staleness of each.
//!
//! Staleness of a watch is the time since it last received everything up to then: a change, a
//! bookmark, or the orderly end of a watch without changes. In normal operation no watch is
//! therefore much staler than the time after which it is reopened.

mod changes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

pub use self::changes::Changes;
use super::scope::WatchScope;

/// How long a namespace that denies access delays the others at the start. It gives time to a
/// permission that was just granted, and to an API server that has just started.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a watch may lack changes after it broke, if it has delivered nothing since. It is
/// reopened well within that time, but it shows that it is open only by delivering something.
const IN_DOUBT: Duration = Duration::from_mins(1);

/// Progress of the watches.
#[derive(Clone, Debug)]
pub struct CacheSync {
    watches: Arc<Mutex<Vec<Watch>>>,
    /// The last update of the stalest of the cluster-wide watches. Unit: seconds since the Unix
    /// epoch.
    oldest_second: Arc<AtomicI64>,
    /// The same for the watches of each namespace.
    namespaces: Arc<Mutex<BTreeMap<Arc<str>, i64>>>,
    /// Wakes those who wait for a change.
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct Watch {
    what: &'static str,
    scope: WatchScope,
    listed: bool,
    refused_since: Option<Instant>,
    broken_at: Option<Instant>,
    /// Unit: seconds since the Unix epoch.
    fresh_second: i64,
}

/// Marks a watch that has received nothing yet.
const NEVER: i64 = i64::MIN;

impl Default for CacheSync {
    fn default() -> Self {
        Self {
            watches: Arc::default(),
            oldest_second: Arc::new(AtomicI64::new(NEVER)),
            namespaces: Arc::default(),
            changed: watch::Sender::default(),
        }
    }
}

/// Identifies a watch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Id(usize);

impl Watch {
    /// Whether the start must wait for this watch. An administrator of one namespace can revoke the
    /// permissions there; that must not stop the others.
    fn holds_up(&self, now: Instant) -> bool {
        let gave_up = self.given_up_at().is_some_and(|at| at <= now);
        !self.listed && !gave_up
    }

    /// When the start no longer waits for this watch, if access is denied to it.
    fn given_up_at(&self) -> Option<Instant> {
        let since = self.refused_since?;
        (self.scope != WatchScope::Everything).then(|| since + PATIENCE)
    }

    fn name(&self) -> String {
        match &self.scope {
            WatchScope::Everything => self.what.to_owned(),
            WatchScope::Namespace(namespace) => format!("{} in {namespace}", self.what),
        }
    }
}

impl CacheSync {
    pub(super) fn begin(&self, what: &'static str, scope: &WatchScope) -> Id {
        let mut watches = self.watches.lock();
        watches.push(Watch {
            what,
            scope: scope.clone(),
            listed: false,
            refused_since: None,
            broken_at: None,
            fresh_second: NEVER,
        });
        let id = Id(watches.len() - 1);
        drop(watches);
        self.note_oldest(scope);
        self.changed.send_replace(());
        id
    }

    /// Records that the watch is complete up to this time, after a change, a bookmark, or the
    /// orderly end of a watch without changes.
    pub(super) fn fresh(&self, id: Id, now: Timestamp) {
        let mut watches = self.watches.lock();
        let Some(watch) = watches.get_mut(id.0) else {
            return;
        };
        let second = now.as_second();
        if watch.fresh_second == second {
            return;
        }
        watch.fresh_second = second;
        let scope = watch.scope.clone();
        drop(watches);
        self.note_oldest(&scope);
    }

    fn note_oldest(&self, scope: &WatchScope) {
        let watches = self.watches.lock();
        let same = watches.iter().filter(|watch| watch.scope == *scope);
        let oldest = same.map(|watch| watch.fresh_second).min();
        let oldest = oldest.unwrap_or(NEVER);
        match scope {
            WatchScope::Everything => self.oldest_second.store(oldest, Ordering::Relaxed),
            WatchScope::Namespace(name) => {
                self.namespaces.lock().insert(Arc::clone(name), oldest);
            }
        }
    }

    /// Staleness of the cluster-wide watches.
    #[must_use]
    pub fn staleness(&self, now: Timestamp) -> SignedDuration {
        since(self.oldest_second.load(Ordering::Relaxed), now)
    }

    /// Staleness of the watches of a namespace, if it is watched separately. It is separate so that
    /// revoked permissions in one namespace do not affect the others.
    #[must_use]
    pub fn staleness_in(&self, namespace: &str, now: Timestamp) -> Option<SignedDuration> {
        let second = self.namespaces.lock().get(namespace).copied()?;
        Some(since(second, now))
    }

    /// Staleness of the stalest watch that has been listed.
    #[must_use]
    pub fn longest_staleness(&self, now: Timestamp) -> SignedDuration {
        let watches = self.watches.lock();
        let listed = watches.iter().filter(|watch| watch.listed);
        let oldest = listed.map(|watch| watch.fresh_second).min();
        since(oldest.unwrap_or_else(|| now.as_second()), now)
    }

    /// The cluster-wide watches with a staleness above this limit.
    #[must_use]
    pub fn stale(&self, limit: SignedDuration, now: Timestamp) -> Vec<String> {
        let watches = self.watches.lock();
        let whole = watches
            .iter()
            .filter(|watch| watch.scope == WatchScope::Everything);
        let stale = whole.filter(|watch| since(watch.fresh_second, now) > limit);
        stale.map(Watch::name).collect()
    }

    pub(super) fn listed(&self, id: Id) {
        self.change(id, |watch| {
            watch.listed = true;
            watch.refused_since = None;
        });
    }

    /// Records that the API server denied access.
    pub(super) fn refused(&self, id: Id, now: Instant) {
        self.change(id, |watch| {
            watch.refused_since.get_or_insert(now);
        });
    }

    /// Records that the watch broke, so that later changes are delayed.
    pub(super) fn broke(&self, id: Id, now: Instant) {
        self.change(id, |watch| watch.broken_at = Some(now));
    }

    /// Records that the watch delivered something, and with it everything before.
    pub(super) fn delivered(&self, id: Id) {
        self.change(id, |watch| watch.broken_at = None);
    }

    /// Whether a watch of one of these may lack changes.
    #[must_use]
    pub fn may_lack_changes(&self, of: &[&str], now: Instant) -> bool {
        let watches = self.watches.lock();
        let mut concerned = watches.iter().filter(|watch| of.contains(&watch.what));
        concerned.any(|watch| {
            watch
                .broken_at
                .is_some_and(|broken| now - broken < IN_DOUBT)
        })
    }

    fn change(&self, id: Id, change: impl FnOnce(&mut Watch)) {
        if let Some(watch) = self.watches.lock().get_mut(id.0) {
            change(watch);
        }
        self.changed.send_replace(());
    }

    /// The changes from now on of what the watches have received.
    #[must_use]
    pub fn changes(&self) -> Changes {
        Changes::new(self.clone())
    }

    /// The watches that the start still waits for.
    #[must_use]
    pub fn waiting(&self, now: Instant) -> Vec<String> {
        let watches = self.watches.lock();
        let waiting = watches.iter().filter(|watch| watch.holds_up(now));
        waiting.map(Watch::name).collect()
    }

    /// The watches that could not be listed, because access is denied.
    #[must_use]
    pub fn refusals(&self) -> Vec<String> {
        let watches = self.watches.lock();
        let refused = |watch: &&Watch| !watch.listed && watch.refused_since.is_some();
        watches.iter().filter(refused).map(Watch::name).collect()
    }
}

fn since(second: i64, now: Timestamp) -> SignedDuration {
    SignedDuration::from_secs(now.as_second().saturating_sub(second))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    const fn seconds(seconds: i64) -> SignedDuration {
        SignedDuration::from_secs(seconds)
    }

    #[test]
    fn the_stalest_watch_counts_even_among_watches_of_one_kind() {
        let cache_sync = CacheSync::default();
        let records = cache_sync.begin("records", &WatchScope::Everything);
        let peppers = cache_sync.begin("peppers", &WatchScope::Everything);
        cache_sync.fresh(records, at(100));
        assert!(cache_sync.staleness(at(100)) > seconds(1_000_000));
        cache_sync.fresh(peppers, at(130));
        assert_eq!(cache_sync.staleness(at(160)), seconds(60));
        assert_eq!(cache_sync.stale(seconds(59), at(160)), ["records"]);
        cache_sync.fresh(records, at(150));
        assert_eq!(cache_sync.staleness(at(160)), seconds(30));
        assert!(cache_sync.stale(seconds(30), at(160)).is_empty());
    }

    #[test]
    fn a_namespace_without_updates_is_not_the_whole_cluster() {
        let cache_sync = CacheSync::default();
        let whole = cache_sync.begin("organizations", &WatchScope::Everything);
        let ids = ["a", "b"].map(|name| cache_sync.begin("apikeys", &scope(name)));
        cache_sync.fresh(whole, at(100));
        cache_sync.fresh(ids[0], at(100));
        cache_sync.fresh(ids[1], at(40));
        for id in ids {
            cache_sync.listed(id);
        }
        assert_eq!(cache_sync.staleness(at(110)), seconds(10));
        assert_eq!(cache_sync.staleness_in("a", at(110)), Some(seconds(10)));
        assert_eq!(cache_sync.staleness_in("b", at(110)), Some(seconds(70)));
        assert_eq!(cache_sync.staleness_in("c", at(110)), None);
        assert_eq!(cache_sync.longest_staleness(at(110)), seconds(70));
    }

    fn scope(name: &str) -> WatchScope {
        WatchScope::Namespace(name.into())
    }

    #[test]
    fn it_is_complete_only_when_every_kind_was_listed_whole_in_every_namespace() {
        let (cache_sync, now) = (CacheSync::default(), Instant::now());
        let watches = [("apikeys", scope("a")), ("apikeys", scope("b"))];
        let organizations = cache_sync.begin("organizations", &WatchScope::Everything);
        let ids = watches.map(|(what, scope)| cache_sync.begin(what, &scope));
        let all = ["organizations", "apikeys in a", "apikeys in b"];
        assert_eq!(cache_sync.waiting(now), all);
        cache_sync.listed(ids[0]);
        cache_sync.listed(organizations);
        assert_eq!(cache_sync.waiting(now), ["apikeys in b"]);
        cache_sync.listed(ids[1]);
        assert!(cache_sync.waiting(now).is_empty());
    }

    #[test]
    fn a_watch_that_broke_may_lack_changes_until_it_delivers_something_or_for_a_minute() {
        let (cache_sync, begin) = (CacheSync::default(), Instant::now());
        let id = cache_sync.begin("records", &WatchScope::Everything);
        let after = |seconds| begin + Duration::from_secs(seconds);
        let lacks = |of, second| cache_sync.may_lack_changes(&[of, "other"], after(second));
        assert!(!lacks("records", 0));
        cache_sync.broke(id, begin);
        assert!(lacks("records", 59) && !lacks("records", 60) && !lacks("apikeys", 0));
        cache_sync.delivered(id);
        assert!(!lacks("records", 0));
    }

    #[test]
    fn a_namespace_that_denies_access_delays_the_others_for_ten_seconds_and_a_cluster_wide_denial_always()
     {
        let (cache_sync, begin) = (CacheSync::default(), Instant::now());
        let cluster = cache_sync.begin("organizations", &WatchScope::Everything);
        let one = cache_sync.begin("apikeys", &scope("a"));
        let after = |seconds| begin + Duration::from_secs(seconds);
        for second in [0, 4, 8] {
            cache_sync.refused(cluster, after(second));
            cache_sync.refused(one, after(second));
        }
        assert_eq!(cache_sync.waiting(after(9)).len(), 2);
        assert_eq!(cache_sync.waiting(after(10)), ["organizations"]);
        assert_eq!(cache_sync.refusals(), ["organizations", "apikeys in a"]);
        cache_sync.listed(cluster);
        assert_eq!(cache_sync.waiting(after(9)), ["apikeys in a"]);
        assert!(cache_sync.waiting(after(10)).is_empty());
        cache_sync.listed(one);
        assert!(cache_sync.waiting(after(9)).is_empty() && cache_sync.refusals().is_empty());
    }
}
