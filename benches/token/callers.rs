//! Callers with keys, and callers with none: what they send.

use std::sync::Arc;

use apikey_operator::api::names;
use apikey_operator::credential::{KeyId, Secret, random};
use k8s_openapi::api::core::v1::Secret as CoreSecret;
use kube::Api;
use kube::api::ListParams;

use crate::common::cluster::Cluster;
use crate::load::Requests;

const PATH: &str = "/auth/v1/api-key/token";
/// Secrets in one answer of the API server.
const PAGE: u32 = 500;

/// Somebody with a key.
#[derive(Clone)]
pub(crate) struct Holder {
    pub(crate) name: String,
    pub(crate) secret: Secret,
}

impl Holder {
    /// The call for a token.
    pub(crate) fn request(&self) -> Box<[u8]> {
        request(&self.name, self.secret.expose())
    }

    /// The name of this key with a secret that it never had.
    pub(crate) fn wrong_secret(&self) -> Box<[u8]> {
        let forged = Secret::from_entropy(self.secret.key_id(), entropy());
        request(&self.name, forged.expose())
    }

    /// The name of this key with the secret of a key that there is not.
    pub(crate) fn unknown_key(&self) -> Box<[u8]> {
        let key_id = KeyId::from_entropy(random::bytes().unwrap());
        request(
            &self.name,
            Secret::from_entropy(&key_id, entropy()).expose(),
        )
    }
}

fn entropy() -> [u8; 32] {
    random::bytes().unwrap()
}

fn request(name: &str, secret: &str) -> Box<[u8]> {
    // Neither has a character that a form would have to encode.
    let body = format!("name={name}&secret={secret}");
    let length = body.len();
    format!(
        "POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: */*\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
    .into()
}

/// A request of each.
pub(crate) fn requests(holders: &[Holder], of: impl Fn(&Holder) -> Box<[u8]>) -> Requests {
    holders.iter().map(of).collect()
}

/// Both kinds of forged secrets in turn: of keys that there are not, and wrong ones of known keys.
pub(crate) fn forged(holders: &[Holder]) -> Requests {
    let both = |holder: &Holder| [holder.unknown_key(), holder.wrong_secret()];
    holders.iter().flat_map(both).collect()
}

/// Reads the delivered Secrets of a namespace, once there are this many.
pub(crate) async fn all(cluster: &Cluster, namespace: &str, count: usize) -> Arc<[Holder]> {
    let secrets = Api::<CoreSecret>::namespaced(cluster.client.clone(), namespace);
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
        holders.extend(list.items.iter().map(holder));
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return holders.into(),
        }
    }
}

fn holder(delivered: &CoreSecret) -> Holder {
    let data = delivered.data.as_ref().unwrap();
    let text = |field| std::str::from_utf8(&data[field].0).unwrap();
    Holder {
        name: text(names::data::NAME).to_owned(),
        secret: Secret::parse(text(names::data::SECRET)).unwrap(),
    }
}
