//! Watches the delivered Secrets of all keys.

use std::sync::Arc;

use apikey_api::names;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt as _};
use sha2::Digest as _;

use crate::common::report::progress;
use crate::holder::Holder;
use crate::ledger::Digest;
use crate::world::{NAMESPACE, World};

/// The API for the delivered Secrets.
pub(crate) fn secrets(world: &World) -> Api<Secret> {
    Api::namespaced(world.client.clone(), NAMESPACE)
}

/// Records every delivered value in the ledger. A Secret has the name of its key.
pub(crate) async fn follow(world: Arc<World>) {
    let selector = names::component_selector(names::COMPONENT_API_KEY);
    let config = watcher::Config::default().labels(&selector);
    let mut events = watcher(secrets(&world), config).default_backoff().boxed();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(secret) | Event::InitApply(secret)) => {
                let (revision, digest) = (revision(&secret), digest(&secret));
                let (key, holder) = (secret.name_any(), Holder::of(&secret));
                let mut ledger = world.ledger.lock();
                ledger.deliver(&key, revision, digest, holder);
            }
            Ok(Event::Init | Event::InitDone | Event::Delete(_)) => {}
            Err(error) => progress(&format!("The watch of this program failed: {error}")),
        }
    }
}

fn revision(secret: &Secret) -> i64 {
    secret.annotations()[names::ANNOTATION_REVISION]
        .parse()
        .unwrap()
}

fn digest(secret: &Secret) -> Digest {
    let data = secret.data.as_ref().unwrap();
    sha2::Sha256::digest(&data[names::data::SECRET].0).into()
}
