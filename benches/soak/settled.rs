//! Checks that the final state is the requested one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use apikey_api::{ApiKey, Phase, conditions, names};
use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};

use crate::caller::Caller;
use crate::changes;
use crate::claims;
use crate::common::operator::OPERATOR_NAMESPACE;
use crate::deliveries;
use crate::holder::Holder;
use crate::ledger::{Key, Revoked};
use crate::world::{NAMESPACE, World, pass};

/// The longest wait for the final state.
const PATIENCE: Duration = Duration::from_mins(2);
const LOOK: Duration = Duration::from_secs(1);

/// Waits until the state is the requested one. Returns the remaining differences.
pub(crate) async fn wait(world: &World) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let left = look(world).await;
        if left.is_empty() || begun.elapsed() >= PATIENCE {
            return left;
        }
        pass(LOOK).await;
    }
}

/// The differences from the requested state.
async fn look(world: &World) -> Vec<String> {
    let all = ListParams::default();
    let objects = changes::keys(world).list(&all).await.unwrap().items;
    let component = |component| all.clone().labels(&names::component_selector(component));
    let delivered = component(names::COMPONENT_API_KEY);
    let delivered = deliveries::secrets(world).list(&delivered).await.unwrap();
    let records = component(names::COMPONENT_VERIFIER);
    let records = Api::<Secret>::namespaced(world.client.clone(), OPERATOR_NAMESPACE)
        .list(&records)
        .await
        .unwrap();

    let uids: BTreeSet<_> = objects.iter().filter_map(ApiKey::uid).collect();
    let expected: BTreeSet<_> = uids.iter().map(|uid| names::record_secret(uid)).collect();
    let ours = records.items.iter().filter(|record| {
        let owner = record.annotations().get(names::ANNOTATION_OWNER);
        owner.is_some_and(|owner| owner.split_once('/').is_some_and(|(n, _)| n == NAMESPACE))
    });
    let stale = ours.map(Secret::name_any);
    let stale = stale.filter(|name| !expected.contains(name));
    let mut left: Vec<_> = stale
        .map(|name| format!("{name} proves a deleted key"))
        .collect();

    let by_name = |secret: Secret| (secret.name_any(), secret);
    let mut delivered: BTreeMap<_, _> = delivered.items.into_iter().map(by_name).collect();
    let mut caller = Caller::of(world.server);
    for object in &objects {
        let name = object.name_any();
        let holder = delivered.remove(&name).map(|secret| Holder::of(&secret));
        let now = world.clock.now();
        let problem = match world.ledger.lock().keys.get(&name) {
            None => Some("was deleted"),
            Some(key) => problem(key, object, key.expiry.is_some_and(|expiry| expiry <= now)),
        };
        if let Some(problem) = problem {
            left.push(format!("{name} {problem}"));
        } else if object.status.as_ref().and_then(|status| status.phase) == Some(Phase::Active) {
            let roles = token_roles(&mut caller, holder.as_ref()).await;
            if roles.as_ref() != Some(&object.spec.roles) {
                left.push(format!("{name} has a token for {roles:?}"));
            }
        }
    }
    left.extend(
        delivered
            .into_keys()
            .map(|name| format!("{name} has a Secret and no key")),
    );
    let there: BTreeSet<_> = objects.iter().map(ApiKey::name_any).collect();
    let ledger = world.ledger.lock();
    let lost = ledger
        .keys
        .iter()
        .filter(|(name, key)| key.revoked == Revoked::No && !there.contains(*name));
    left.extend(lost.map(|(name, _)| format!("{name} is not there")));
    left
}

/// The difference of a key from its requested state.
fn problem(key: &Key, object: &ApiKey, is_over: bool) -> Option<&'static str> {
    let status = object.status.as_ref()?;
    let ready = conditions::find(&status.conditions, conditions::READY);
    let is_ready = ready.is_some_and(|ready| ready.status == "True");
    let phase = if is_over {
        Phase::Expired
    } else {
        Phase::Active
    };
    if key.revoked != Revoked::No {
        Some("was deleted")
    } else if !key.is_settled(object) {
        Some("has a status that is not about what was asked for")
    } else if status.phase != Some(phase) || is_ready == is_over {
        Some("is in another phase")
    } else {
        None
    }
}

/// The roles of a token for the secret that is delivered now.
async fn token_roles(caller: &mut Caller, holder: Option<&Holder>) -> Option<Vec<String>> {
    let (status, body) = caller.ask(&holder?.request()).await.ok()?;
    let roles = (status == 200).then(|| claims::of(&body)["roles"].clone())?;
    serde_json::from_value(roles).ok()
}
