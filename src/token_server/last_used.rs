//! Writes `status.lastUsedAt`: coarsely, in batches, and without delaying requests.
//!
//! A request only marks the key as used. Five seconds after a first use, and then at most once a
//! minute, this module updates keys whose status is older than ten minutes. It uses a server-side
//! apply of this one field, with its own field manager. Replicas see each other's writes through
//! the watch, so that a key is written about once in ten minutes rather than once per replica.
//! While no key is used, no timer runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::index::{Credential, Index};
use apikey_api::KeyRef;
use apikey_api::{ApiKey, names};
use apikey_client::clock::Clock;
use apikey_client::error::{Class, request};
use apikey_client::object::Answer;

/// How far the status may lag behind.
const COARSENESS: SignedDuration = SignedDuration::from_mins(10);
/// How long a first use waits for others to be written with it.
const GATHER: Duration = Duration::from_secs(5);
/// Shortest time between two batches of writes.
const PAUSE: Duration = Duration::from_mins(1);

/// Records which keys are used.
#[derive(Debug)]
pub struct LastUsed {
    enabled: bool,
    clock: Clock,
    used: Mutex<BTreeMap<KeyRef, Use>>,
    /// Notified when `used` gets an entry.
    noted: Notify,
}

#[derive(Clone, Debug)]
struct Use {
    uid: Arc<str>,
    at: Timestamp,
}

impl LastUsed {
    /// Creates a recorder, which ignores all uses unless `enabled`.
    #[must_use]
    pub fn new(enabled: bool, clock: Clock) -> Self {
        Self {
            enabled,
            clock,
            used: Mutex::default(),
            noted: Notify::new(),
        }
    }

    /// Records that a key is used now.
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
        self.noted.notify_one();
    }

    /// Puts back a use that could not be written, unless there is a later one.
    fn keep(&self, key: KeyRef, this: Use) {
        self.used.lock().entry(key).or_insert(this);
        self.noted.notify_one();
    }

    /// Takes out all uses and returns those whose status is too old.
    fn due(&self, index: &Index) -> Vec<(KeyRef, Use)> {
        let used = std::mem::take(&mut *self.used.lock());
        let due = used.into_iter().filter(|(key, this)| {
            let written = index.last_used_at(key);
            written.is_none_or(|written| this.at.duration_since(written) >= COARSENESS)
        });
        due.collect()
    }

    /// Writes what is due: soon after a first use, and then at most once a minute. Never returns.
    pub async fn write(&self, index: &Index, client: &Client) {
        loop {
            self.noted.notified().await;
            sleep_until(Instant::now() + GATHER).await;
            // Sequentially, because these writes are less urgent than requests.
            for (key, this) in self.due(index) {
                if !write_one(client, &key, &this).await {
                    self.keep(key, this);
                }
            }
            sleep_until(Instant::now() + PAUSE).await;
        }
    }
}

/// Writes one use. Returns `false` if it must be retried because the API server was unavailable or
/// busy.
async fn write_one(client: &Client, key: &KeyRef, this: &Use) -> bool {
    let apikeys = Api::<Answer<ApiKey>>::namespaced(client.clone(), &key.namespace);
    // Whole seconds, because times in the Kubernetes API have no fractions.
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
        Ok(_) => true,
        Err(error) if error.is_not_found() => true,
        Err(error) => {
            let again = matches!(error.class(), Class::Transient | Class::Throttled(_));
            tracing::warn!(namespace = %key.namespace, name = %key.name, %error, again,
                "The time of last use was not written");
            !again
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use crate::watch::event::Event;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::token_server::testing::{NOW, apikey, at, index, ring, secret};
    use crate::watch::scope::WatchScope;
    use apikey_api::ApiKeyStatus;

    #[test]
    fn a_key_is_due_once_and_then_not_before_its_status_is_ten_minutes_old() {
        let index = index(2, &ring());
        let second = Arc::new(AtomicI64::new(NOW));
        let clock = Arc::clone(&second);
        let clock = Clock::from_fn(move || at(clock.load(Ordering::Relaxed)));
        let last_used = LastUsed::new(true, clock.clone());
        let used = |after: i64| {
            second.store(NOW + after, Ordering::Relaxed);
            last_used.note(&index.get(secret(1).key_id()).unwrap());
            let due = last_used.due(&index).into_iter();
            due.map(|(key, this)| (key.name.to_string(), this.at))
                .collect::<Vec<_>>()
        };
        assert_eq!(used(0), [("key-1".to_owned(), at(NOW))]);
        let mut written = apikey(1);
        written.status = Some(ApiKeyStatus {
            last_used_at: Some(Time(at(NOW))),
            ..ApiKeyStatus::default()
        });
        index.apikey(&WatchScope::Everything, Event::Apply(written.into()));
        assert_eq!(used(599), []);
        assert_eq!(used(600), [("key-1".to_owned(), at(NOW + 600))]);
        let off = LastUsed::new(false, clock);
        off.note(&index.get(secret(1).key_id()).unwrap());
        assert!(off.due(&index).is_empty());
    }
}
