//! Another tenant, which suspends and resumes its key all the time. Each change must have its effect in time, whatever
//! other tenants do.

use std::sync::Arc;
use std::time::Duration;

use apikey_api::ApiKey;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::SignedDuration;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use crate::caller::Caller;
use crate::common::keys;
use crate::common::report::progress;
use crate::holder::{Holder, Request};
use crate::world::{IN_TIME, World, pass};

pub(crate) const NAMESPACE: &str = "neighbour";
/// The time between requests.
const PACE: Duration = Duration::from_millis(50);
/// How long a state is kept after it was observed.
const REST: Duration = Duration::from_millis(500);

/// Suspends and resumes the key forever.
pub(crate) async fn live(world: Arc<World>) {
    let keys: Api<ApiKey> = Api::namespaced(world.client.clone(), NAMESPACE);
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), NAMESPACE);
    let key = keys::key(0, None);
    let name = key.metadata.name.clone().unwrap();
    keys.create(&PostParams::default(), &key).await.unwrap();
    let secret = loop {
        match secrets.get_opt(&name).await.unwrap() {
            Some(secret) => break secret,
            None => pass(PACE).await,
        }
    };
    let request = Holder::of(&secret).request();
    let mut caller = Caller::of(world.server);
    until_answered(&world, &mut caller, &request, 200).await;
    for suspended in [true, false].into_iter().cycle() {
        let patch = Patch::Merge(json!({ "spec": { "suspended": suspended } }));
        let parameters = PatchParams::default();
        while keys.patch(&name, &parameters, &patch).await.is_err() {
            pass(PACE).await;
        }
        let status = if suspended { 401 } else { 200 };
        until_answered(&world, &mut caller, &request, status).await;
        pass(REST).await;
    }
}

/// Asks until the response has this status. Counts it if that takes too long.
async fn until_answered(world: &World, caller: &mut Caller, request: &Request, wanted: u16) {
    let confirmed = world.clock.now();
    let mut is_late = false;
    let mut after = SignedDuration::ZERO;
    loop {
        let asked = world.clock.now();
        match caller.ask(request).await {
            Ok((status, _)) if status == wanted => break,
            Ok((200 | 401, _)) => {
                after = world.since_known(confirmed, asked);
                if after > IN_TIME && !std::mem::replace(&mut is_late, true) {
                    progress(&format!(
                        "No {wanted} {after:#} after a change of `suspended`"
                    ));
                }
            }
            Ok(_) | Err(_) => {}
        }
        pass(PACE).await;
    }
    let mut tally = world.tally.lock();
    tally.counts.suspensions += u32::from(wanted == 401);
    tally.counts.suspensions_unseen += u32::from(is_late);
    tally.longest_to_suspension = tally.longest_to_suspension.max(after);
}
