//! The changes of owners: they create, rotate, change and delete keys all the time.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use apikey_api::{ApiKey, RotationSpec, names};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;

use crate::common::keys;
use crate::ledger::{Key, Ledger, OVERLAP_SECONDS, Revoked};
use crate::world::{NAMESPACE, World, pass};

/// Keys without an expiry of their own.
pub(crate) const LASTING: usize = 60;
/// The time between changes.
const PACE: Duration = Duration::from_millis(250);
/// The life of the other keys.
const LIFE: SignedDuration = SignedDuration::from_secs(20);
/// How long consumers still use a key after its expiry or deletion.
const AFTER: SignedDuration = SignedDuration::from_secs(10);
/// The roles that a key gets in turn.
const ROLES: [&[&str]; 3] = [&["viewer"], &["viewer", "editor"], &["editor"]];
/// The time between attempts while the API server is away, and the number of attempts.
const AGAIN: Duration = Duration::from_millis(250);
const ATTEMPTS: u32 = 240;

/// The owner of all keys.
pub(crate) struct Owner<'a> {
    world: &'a World,
    keys: Api<ApiKey>,
    created: u32,
}

impl<'a> Owner<'a> {
    pub(crate) fn of(world: &'a World) -> Self {
        Self {
            world,
            keys: keys(world),
            created: 0,
        }
    }

    /// Makes changes until this time.
    pub(crate) async fn change_until(&mut self, end: Instant) {
        let mut tick = tokio::time::interval(PACE);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for turn in 0.. {
            tick.tick().await;
            if Instant::now() >= end {
                return;
            }
            self.forget();
            match turn % 4 {
                0 => self.create().await,
                1 => self.rotate(turn).await,
                2 => self.change_roles(turn).await,
                _ => self.delete(turn).await,
            }
        }
    }

    /// Creates a key without an expiry, or one with an expiry if there are enough without.
    pub(crate) async fn create(&mut self) {
        let lasting = self.world.ledger.lock().count(Key::lasts);
        let expiry = (lasting >= LASTING).then(|| whole_second(self.world.clock.now() + LIFE));
        let mut key = keys::key(self.created, expiry);
        self.created += 1;
        key.spec.rotation = Some(RotationSpec {
            overlap_seconds: Some(OVERLAP_SECONDS),
            ..RotationSpec::default()
        });
        let name = key.metadata.name.clone().unwrap();
        let entry = Key {
            expiry,
            roles: key.spec.roles.clone(),
            ..Key::default()
        };
        self.world.ledger.lock().keys.insert(name, entry);
        let parameters = PostParams::default();
        // The answer to an earlier attempt may have been lost.
        insist("AlreadyExists", || self.keys.create(&parameters, &key)).await;
        self.world.tally.lock().counts.created += 1;
    }

    async fn rotate(&self, turn: usize) {
        let now = self.world.clock.now();
        let (name, value) = {
            let mut ledger = self.world.ledger.lock();
            let Some((name, key)) = ledger.pick(turn, |key| key.may_rotate(now)) else {
                return;
            };
            key.rotations += 1;
            key.rotated = Some(now);
            (name, key.rotations.to_string())
        };
        let asked = json!({ names::ANNOTATION_ROTATE_REQUESTED_AT: value });
        self.patch(&name, json!({"metadata": {"annotations": asked}}))
            .await;
        self.world.tally.lock().counts.rotated += 1;
    }

    async fn change_roles(&self, turn: usize) {
        let roles = ROLES[turn / 4 % ROLES.len()];
        let name = {
            let mut ledger = self.world.ledger.lock();
            let Some((name, key)) = ledger.pick(turn, Key::lasts) else {
                return;
            };
            key.roles = roles.iter().map(ToString::to_string).collect();
            name
        };
        self.patch(&name, json!({"spec": {"roles": roles}})).await;
        self.world.tally.lock().counts.roles_changed += 1;
    }

    /// Deletes a key that expired a while ago, or else one without an expiry if there are enough.
    async fn delete(&self, turn: usize) {
        let now = self.world.clock.now();
        let name = {
            let mut ledger = self.world.ledger.lock();
            let enough = ledger.count(Key::lasts) >= LASTING;
            let is_over = |key: &Key| {
                let expired = key.expiry.is_some_and(|expiry| expiry + AFTER <= now);
                expired && key.revoked == Revoked::No
            };
            let none_is_over = ledger.count(is_over) == 0;
            let goes =
                |key: &Key| is_over(key) || (none_is_over && enough && key.lasts() && key.is_known);
            let Some((name, key)) = ledger.pick(turn, goes) else {
                return;
            };
            key.revoked = Revoked::Asked;
            name
        };
        let parameters = DeleteParams::default();
        insist("NotFound", || self.keys.delete(&name, &parameters)).await;
        let deleted = self.world.clock.now();
        let mut ledger = self.world.ledger.lock();
        let key = ledger.keys.get_mut(&name);
        key.expect("it is forgotten later").revoked = Revoked::Since(deleted);
        self.world.tally.lock().counts.deleted += 1;
    }

    /// Removes keys that were deleted a while ago from the ledger.
    fn forget(&self) {
        let now = self.world.clock.now();
        let is_gone = |key: &Key| matches!(key.revoked, Revoked::Since(t) if t + AFTER <= now);
        let mut ledger = self.world.ledger.lock();
        ledger.keys.retain(|_, key| !is_gone(key));
    }

    async fn patch(&self, name: &str, patch: Value) {
        let (patch, parameters) = (Patch::Merge(&patch), PatchParams::default());
        insist("", || self.keys.patch(name, &parameters, &patch)).await;
    }
}

/// The API for the keys.
pub(crate) fn keys(world: &World) -> Api<ApiKey> {
    Api::namespaced(world.client.clone(), NAMESPACE)
}

impl Ledger {
    fn count(&self, of: impl Fn(&Key) -> bool) -> usize {
        self.keys.values().filter(|key| of(key)).count()
    }

    /// Chooses one of these keys, in turn.
    fn pick(&mut self, turn: usize, of: impl Fn(&Key) -> bool) -> Option<(String, &mut Key)> {
        let count = self.count(&of);
        let mut picked = self.keys.iter_mut().filter(|(_, key)| of(key));
        let (name, key) = picked.nth((turn / 4).checked_rem(count)?)?;
        Some((name.clone(), key))
    }
}

fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap()
}

/// Repeats a request until the API server confirms that it is done, now or by an earlier attempt.
async fn insist<T: Debug>(already: &str, ask: impl AsyncFn() -> kube::Result<T>) {
    let mut last = ask().await;
    for _ in 0..ATTEMPTS {
        match last {
            Ok(_) => return,
            Err(kube::Error::Api(status)) if status.reason == already => return,
            Err(_) => pass(AGAIN).await,
        }
        last = ask().await;
    }
    last.expect("an API server that comes back");
}
