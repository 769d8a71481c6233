//! Removes a role from the organization's catalogue, which changes the status of every key.

use std::time::Instant;

use apikey_api::{ApiKey, Organization};
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::runtime::watcher;
use serde_json::json;

use super::{KEPT, NAMESPACE, Processes, Setting};
use crate::common::cluster::ORGANIZATION;
use crate::sightings::Sightings;

pub(super) async fn measure(setting: &mut Setting, processes: &Processes) {
    let all = watcher::Config::default();
    let mut changed = Sightings::open(&setting.cluster, NAMESPACE, all, has_lost_the_role).await;
    let organizations = Api::<Organization>::all(setting.cluster.client.clone());
    let catalogue = json!({"spec": {"roles": [{"key": KEPT}]}});
    let (patch, parameters) = (Patch::Merge(&catalogue), PatchParams::default());
    let begun = Instant::now();
    organizations
        .patch(ORGANIZATION, &parameters, &patch)
        .await
        .unwrap();
    let seen = changed.next(setting.keys).await;
    let last = seen.iter().map(|seen| seen.at).max().unwrap();
    let took = last.duration_since(begun);
    let what = "From a change of the organization to the last status with it";
    setting.measured.note(what, "s", took.as_secs_f64());
    setting
        .note_requests("for a change of the organization")
        .await;
    setting.note_memory(processes, "after that change");
}

fn has_lost_the_role(key: &ApiKey) -> bool {
    key.status
        .as_ref()
        .is_some_and(|status| status.roles == [KEPT])
}
