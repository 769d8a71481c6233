//! Creates all keys and measures until all are Active.

use std::time::{Duration, Instant};

use apikey_api::Phase;
use kube::Api;

use super::{CREATORS, NAMESPACE, Processes, Setting, key};
use crate::create::create;
use crate::sightings::Sightings;

/// Issues all keys. Returns the time for one key.
pub(super) async fn measure(setting: &mut Setting, processes: &Processes) -> Duration {
    let (cluster, count) = (&setting.cluster, setting.keys);
    cluster.namespace(NAMESPACE);
    let mut active = Sightings::of_phase(cluster, NAMESPACE, Phase::Active).await;
    let keys = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let begun = Instant::now();
    let creating = create(&keys, CREATORS, (0..count).map(|n| key(n, None)).collect());
    let (seen, ()) = tokio::join!(active.next(count), creating);
    let last = seen.iter().map(|seen| seen.at).max().unwrap();
    let took = last.duration_since(begun);
    let what = "From the first create to all Active";
    setting.measured.note(what, "s", took.as_secs_f64());
    setting.note_memory(processes, "right after");
    setting.note_requests("until it is at rest").await;
    let dropped = processes.controller.metric("apikey_events_dropped_total");
    setting.measured.note("Events dropped", "", dropped);
    setting.note_memory(processes, "at rest");
    took / count
}
