//! Callers with valid keys, and callers with forged secrets.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::ListParams;

use crate::common::cluster::Cluster;
use crate::holder::{Holder, Request};
use crate::load::Requests;

/// The number of Secrets in one page of a list.
const PAGE: u32 = 500;

/// One request of each caller.
pub(crate) fn requests(holders: &[Holder], of: impl Fn(&Holder) -> Request) -> Requests {
    holders.iter().map(of).collect()
}

/// Both kinds of forged secrets in turn: those of unknown keys, and wrong ones of known keys.
pub(crate) fn forged(holders: &[Holder]) -> Requests {
    let both = |holder: &Holder| [holder.unknown_key(), holder.wrong_secret()];
    holders.iter().flat_map(both).collect()
}

/// Reads the delivered Secrets of a namespace, once there are this many.
pub(crate) async fn all(cluster: &Cluster, namespace: &str, count: usize) -> Arc<[Holder]> {
    let secrets = Api::<Secret>::namespaced(cluster.client.clone(), namespace);
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(500));
    loop {
        tick.tick().await;
        let first = secrets.list(&ListParams::default().limit(1)).await.unwrap();
        let more = first.metadata.remaining_item_count.unwrap_or_default();
        if first.items.len() + usize::try_from(more).unwrap() >= count {
            break;
        }
    }
    let mut holders = Vec::with_capacity(count);
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = secrets.list(&page).await.unwrap();
        holders.extend(list.items.iter().map(Holder::of));
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return holders.into(),
        }
    }
}
