//! How far watches are: which have taken in a whole list, and which may lack news.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::watched::Part;

/// How long a namespace that refuses us holds up the others at start. A right that was granted a
/// moment ago, or an API server that has just started, gets this much time.
const PATIENCE: Duration = Duration::from_secs(10);
/// A watch that broke and has told nothing since may lack news for this long. It is opened anew well
/// within that time, but whether it is open can't be seen until it tells something.
const IN_DOUBT: Duration = Duration::from_mins(1);

/// How far watches are.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Mutex<Vec<Watch>>>);

#[derive(Debug)]
struct Watch {
    what: &'static str,
    part: Part,
    listed: bool,
    refused_since: Option<Instant>,
    broken_at: Option<Instant>,
}

/// Number of a watch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Id(usize);

impl Watch {
    /// Whoever may do as he likes in one namespace can take our rights there; that must not stop the
    /// others.
    fn holds_up(&self, now: Instant) -> bool {
        let gave_up = self
            .refused_since
            .is_some_and(|since| self.part != Part::Whole && now - since >= PATIENCE);
        !self.listed && !gave_up
    }

    fn name(&self) -> String {
        match &self.part {
            Part::Whole => self.what.to_owned(),
            Part::Namespace(namespace) => format!("{} in {namespace}", self.what),
        }
    }
}

impl Progress {
    pub(super) fn begin(&self, what: &'static str, part: &Part) -> Id {
        let mut watches = self.0.lock();
        watches.push(Watch {
            what,
            part: part.clone(),
            listed: false,
            refused_since: None,
            broken_at: None,
        });
        Id(watches.len() - 1)
    }

    pub(super) fn listed(&self, id: Id) {
        self.change(id, |watch| {
            watch.listed = true;
            watch.refused_since = None;
        });
    }

    /// The API server does not permit it.
    pub(super) fn refused(&self, id: Id, now: Instant) {
        self.change(id, |watch| {
            watch.refused_since.get_or_insert(now);
        });
    }

    /// It broke: what it would have told from then on comes later.
    pub(super) fn broke(&self, id: Id, now: Instant) {
        self.change(id, |watch| watch.broken_at = Some(now));
    }

    /// It told something, so it has told all before that.
    pub(super) fn told(&self, id: Id) {
        self.change(id, |watch| watch.broken_at = None);
    }

    /// Whether a watch of one of these may lack news.
    #[must_use]
    pub fn may_lack_news(&self, of: &[&str], now: Instant) -> bool {
        let watches = self.0.lock();
        let mut concerned = watches.iter().filter(|watch| of.contains(&watch.what));
        concerned.any(|watch| {
            watch
                .broken_at
                .is_some_and(|broken| now - broken < IN_DOUBT)
        })
    }

    fn change(&self, id: Id, change: impl FnOnce(&mut Watch)) {
        if let Some(watch) = self.0.lock().get_mut(id.0) {
            change(watch);
        }
    }

    /// What has not been listed yet and has to be waited for.
    #[must_use]
    pub fn waiting(&self, now: Instant) -> Vec<String> {
        let watches = self.0.lock();
        let waiting = watches.iter().filter(|watch| watch.holds_up(now));
        waiting.map(Watch::name).collect()
    }

    /// What could not be listed at all, because it is not permitted.
    #[must_use]
    pub fn refusals(&self) -> Vec<String> {
        let watches = self.0.lock();
        let refused = |watch: &&Watch| !watch.listed && watch.refused_since.is_some();
        watches.iter().filter(refused).map(Watch::name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str) -> Part {
        Part::Namespace(name.into())
    }

    #[test]
    fn it_is_complete_only_when_every_kind_was_listed_whole_in_every_namespace() {
        let (progress, now) = (Progress::default(), Instant::now());
        let watches = [("apikeys", part("a")), ("apikeys", part("b"))];
        let organizations = progress.begin("organizations", &Part::Whole);
        let ids = watches.map(|(what, part)| progress.begin(what, &part));
        let all = ["organizations", "apikeys in a", "apikeys in b"];
        assert_eq!(progress.waiting(now), all);
        progress.listed(ids[0]);
        progress.listed(organizations);
        assert_eq!(progress.waiting(now), ["apikeys in b"]);
        progress.listed(ids[1]);
        assert!(progress.waiting(now).is_empty());
    }

    #[test]
    fn a_watch_that_broke_may_lack_news_until_it_tells_something_or_for_a_minute() {
        let (progress, begin) = (Progress::default(), Instant::now());
        let id = progress.begin("verifiers", &Part::Whole);
        let after = |seconds| begin + Duration::from_secs(seconds);
        let lacks = |of, second| progress.may_lack_news(&[of, "other"], after(second));
        assert!(!lacks("verifiers", 0));
        progress.broke(id, begin);
        assert!(lacks("verifiers", 59) && !lacks("verifiers", 60) && !lacks("apikeys", 0));
        progress.told(id);
        assert!(!lacks("verifiers", 0));
    }

    #[test]
    fn a_namespace_that_refuses_us_holds_up_the_others_for_ten_seconds_and_the_cluster_for_ever() {
        let (progress, begin) = (Progress::default(), Instant::now());
        let cluster = progress.begin("organizations", &Part::Whole);
        let one = progress.begin("apikeys", &part("a"));
        let after = |seconds| begin + Duration::from_secs(seconds);
        for second in [0, 4, 8] {
            progress.refused(cluster, after(second));
            progress.refused(one, after(second));
        }
        assert_eq!(progress.waiting(after(9)).len(), 2);
        assert_eq!(progress.waiting(after(10)), ["organizations"]);
        assert_eq!(progress.refusals(), ["organizations", "apikeys in a"]);
        progress.listed(cluster);
        assert_eq!(progress.waiting(after(9)), ["apikeys in a"]);
        assert!(progress.waiting(after(10)).is_empty());
        progress.listed(one);
        assert!(progress.waiting(after(9)).is_empty() && progress.refusals().is_empty());
    }
}
