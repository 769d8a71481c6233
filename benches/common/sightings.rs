//! Observes when keys reach a state.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use apikey_api::{ApiKey, Phase, conditions};
use apikey_client::clock::Clock;
use futures::StreamExt as _;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::common::cluster::Cluster;
use crate::common::report::progress;

/// Longest wait for one more key.
const PATIENCE: Duration = Duration::from_mins(4);

/// When something was seen.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) time: Timestamp,
}

/// A watch for keys of a namespace that reach a state.
pub(crate) struct Sightings {
    sightings: mpsc::UnboundedReceiver<(String, Seen)>,
    _task: JoinSet<()>,
}

impl Sightings {
    /// Opens a watch for keys that have reached this phase.
    pub(crate) async fn of_phase(cluster: &Cluster, namespace: &str, phase: Phase) -> Self {
        // The field selector keeps other changes from using CPU time.
        let config = watcher::Config::default().fields(&format!("status.phase={}", phase.as_str()));
        Self::open(cluster, namespace, config, move |key| is_in(key, phase)).await
    }

    /// Opens a watch. Returns after the initial list, whose keys don't count.
    pub(crate) async fn open(
        cluster: &Cluster,
        namespace: &str,
        config: watcher::Config,
        is_there: impl Fn(&ApiKey) -> bool + Send + 'static,
    ) -> Self {
        let keys = Api::<ApiKey>::namespaced(cluster.client.clone(), namespace);
        let mut events = watcher(keys, config).default_backoff().boxed();
        let (sender, sightings) = mpsc::unbounded_channel();
        while !matches!(events.next().await.unwrap(), Ok(Event::InitDone)) {}
        let mut task = JoinSet::new();
        task.spawn(async move {
            let clock = Clock::system();
            while let Some(event) = events.next().await {
                let key = match event {
                    Ok(Event::Apply(key) | Event::InitApply(key)) => key,
                    Ok(Event::Init | Event::InitDone | Event::Delete(_)) => continue,
                    Err(error) => {
                        progress(&format!("The watch of this program failed: {error}"));
                        continue;
                    }
                };
                let seen = Seen {
                    at: Instant::now(),
                    time: clock.now(),
                };
                if is_there(&key) && sender.send((key.name_any(), seen)).is_err() {
                    return;
                }
            }
        });
        Self {
            sightings,
            _task: task,
        }
    }

    /// When each of the next `count` keys was seen first, in the order of their names.
    pub(crate) async fn next(&mut self, count: u32) -> Vec<Seen> {
        let mut all = BTreeMap::new();
        while u32::try_from(all.len()).unwrap() < count {
            let sighting = tokio::time::timeout(PATIENCE, self.sightings.recv()).await;
            let so_far = all.len();
            assert!(
                sighting.is_ok(),
                "{so_far} of {count} keys, and no other in {PATIENCE:?}"
            );
            let (name, seen) = sighting.unwrap().expect("the watch goes on");
            all.entry(name).or_insert(seen);
        }
        all.into_values().collect()
    }
}

fn is_in(key: &ApiKey, phase: Phase) -> bool {
    key.status.as_ref().is_some_and(|status| {
        let ready = conditions::find(&status.conditions, conditions::READY);
        let is_ready = ready.is_some_and(|ready| ready.status == "True");
        status.phase == Some(phase) && is_ready == (phase == Phase::Active)
    })
}
