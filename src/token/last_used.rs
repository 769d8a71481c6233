//! `status.lastUsedAt`: coarse, batched, and never in the way of a request.
//!
//! A request only notes the key. Once a minute the keys whose status is older than ten minutes get
//! a server-side apply of this one field, under a field manager of its own. Replicas see each
//! other's writes through the watch, so a key is written about once in ten minutes, not once per
//! replica.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use parking_lot::Mutex;
use serde_json::json;

use super::index::{Credential, Index};
use crate::api::{ApiKey, names};
use crate::clock::Clock;
use crate::error::request;
use crate::watch::roster::KeyRef;

/// How far behind the status may be.
const COARSENESS: SignedDuration = SignedDuration::from_mins(10);
/// How often the keys that were used are looked through.
const BATCH_EVERY: Duration = Duration::from_mins(1);
/// Writes at the same time.
const WRITES: usize = 4;

/// Which keys were used.
#[derive(Debug)]
pub struct LastUsed {
    enabled: bool,
    clock: Clock,
    used: Mutex<BTreeMap<KeyRef, Use>>,
}

#[derive(Clone, Debug)]
struct Use {
    uid: Arc<str>,
    at: Timestamp,
}

impl LastUsed {
    /// Notes nothing unless `enabled`.
    #[must_use]
    pub fn new(enabled: bool, clock: Clock) -> Self {
        Self {
            enabled,
            clock,
            used: Mutex::default(),
        }
    }

    /// Notes that a key was used now.
    pub fn note(&self, credential: &Credential) {
        if !self.enabled {
            return;
        }
        let at = self.clock.now();
        let mut used = self.used.lock();
        if let Some(known) = used.get_mut(&credential.key) {
            known.at = at;
            return;
        }
        let uid = Arc::clone(&credential.uid);
        used.insert(credential.key.clone(), Use { uid, at });
    }

    /// The keys to write, taken out: those whose status is too old.
    fn due(&self, index: &Index) -> Vec<(KeyRef, Use)> {
        let used = std::mem::take(&mut *self.used.lock());
        let due = used.into_iter().filter(|(key, this)| {
            let written = index.last_used_at(key);
            written.is_none_or(|written| this.at.duration_since(written) >= COARSENESS)
        });
        due.collect()
    }

    /// Writes what is due, once a minute, for ever.
    pub async fn write(&self, index: &Index, client: &Client) {
        let mut tick = tokio::time::interval(BATCH_EVERY);
        loop {
            tick.tick().await;
            futures::stream::iter(self.due(index))
                .for_each_concurrent(WRITES, |(key, this)| write_one(client, key, this))
                .await;
        }
    }
}

async fn write_one(client: &Client, key: KeyRef, this: Use) {
    let apikeys = Api::<ApiKey>::namespaced(client.clone(), &key.namespace);
    // Whole seconds: the API's times have no fractions.
    let at = Timestamp::from_second(this.at.as_second()).unwrap_or(this.at);
    let patch = json!({
        "apiVersion": format!("{}/{}", names::GROUP, names::VERSION),
        "kind": "ApiKey",
        "metadata": {"name": &*key.name, "uid": &*this.uid},
        "status": {"lastUsedAt": at.to_string()},
    });
    let params = PatchParams::apply(names::LAST_USED_FIELD_MANAGER).force();
    let patch = Patch::Apply(&patch);
    let written = apikeys.patch_status(&key.name, &params, &patch);
    match request("write when the key was last used", written).await {
        Ok(_) => {}
        Err(error) if error.is_not_found() => {}
        Err(error) => {
            tracing::warn!(namespace = %key.namespace, name = %key.name, %error,
                "The time of last use is not written");
        }
    }
}
