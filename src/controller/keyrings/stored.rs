//! Reads and writes the Secret of a ring, and keeps the newest usable ring in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::GetParams;
use serde_json::value::to_raw_value;
use zeroize::Zeroize as _;

use super::{Ring, RingController};
use crate::controller::cluster::{Cluster, post_params};
use crate::watch::stored::value;
use apikey_api::names;
use apikey_client::error::{Error, request};
use apikey_client::object::{Answer, Decode as _, Sent, Whole};

/// A Secret whose values are wiped when it is dropped.
struct Wiped(Secret);

impl Drop for Wiped {
    fn drop(&mut self) {
        for value in self.0.data.iter_mut().flat_map(BTreeMap::values_mut) {
            value.0.zeroize();
        }
    }
}

impl Wiped {
    fn ring(&self) -> &[u8] {
        value(&self.0, names::KEY_RING_DATA_KEY)
    }
}

/// A stored ring that can't be read, and what an administrator can do about it.
#[derive(Debug, thiserror::Error)]
#[error("{cause}. Secret {secret} is left as it is. {fix}")]
struct Unreadable<E> {
    cause: E,
    secret: &'static str,
    fix: String,
}

/// The Secret without the ring: the content to preserve when the ring is replaced.
fn shell(mut secret: Whole) -> Result<Whole, Error> {
    put(&mut secret, None)?;
    Ok(secret)
}

/// Sets the ring in a Secret, or removes it.
fn put(secret: &mut Whole, ring: Option<&ByteString>) -> Result<(), Error> {
    let mut put = || {
        let ring = ring.map(to_raw_value).transpose()?;
        secret.set("data", names::KEY_RING_DATA_KEY, ring)
    };
    put().map_err(|error| Error::internal("write a key ring", &error))
}

/// Sends a request whose response is the Secret of a ring.
async fn send(
    cluster: &Cluster,
    doing: &'static str,
    built: Result<axum::http::Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<(Wiped, Whole), Error> {
    let answer = async {
        let built = built.map_err(kube::Error::BuildRequest)?;
        cluster.client.request::<Answer<Sent<Secret>>>(built).await
    };
    let Answer(Sent { object, whole }) = request(doing, answer).await?;
    Ok((Wiped(object), whole))
}

impl<R: Ring> RingController<R> {
    /// Reads the stored ring.
    ///
    /// # Errors
    /// The request failed, or the ring can't be read; in both cases the known ring remains.
    pub(super) async fn read(&self) -> Result<(), Error> {
        let slot = &self.slot;
        let get = self
            .cluster
            .own_secrets()
            .get(R::SECRET, &GetParams::default());
        let (stored, whole) = match send(&self.cluster, "read a key ring", get).await {
            Ok(stored) => stored,
            Err(error) if error.is_not_found() => {
                self.metrics.ring_unreadable(R::SECRET, false);
                slot.is_gone();
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let parsed = R::parse(stored.ring());
        self.metrics.ring_unreadable(R::SECRET, parsed.is_err());
        match parsed {
            Ok(ring) => {
                slot.set(Arc::new(ring), shell(whole)?);
                Ok(())
            }
            Err(cause) => {
                let fix = if slot.ring().is_some() {
                    "This controller goes on with the ring it knows, and stores that again if you \
                     delete the Secret while it runs"
                        .to_owned()
                } else {
                    format!(
                        "Restore the Secret from a backup, or run the version that wrote it. If \
                         neither is possible, delete the Secret: a new ring is made, and {}",
                        R::LOSS
                    )
                };
                let secret = R::SECRET;
                let unreadable = Unreadable { cause, secret, fix };
                Err(Error::internal("read a key ring", &unreadable))
            }
        }
    }

    /// Stores the ring: creates the Secret, or replaces exactly the version that was read.
    ///
    /// # Errors
    /// The request failed.
    pub(super) async fn write(&self, ring: Arc<R>) -> Result<(), Error> {
        let json = ring.document();
        let json = json.map_err(|error| Error::internal("write a key ring", &error))?;
        let slot = &self.slot;
        let stored = slot.shell();
        let is_stored = stored.is_some();
        let mut secret = match stored {
            Some(shell) => shell,
            None => new_shell(R::SECRET, &self.cluster.namespace)?,
        };
        put(&mut secret, Some(&ByteString(json.to_vec())))?;
        let body = serde_json::to_vec(&secret);
        let body = body.map_err(|error| Error::internal("write a key ring", &error))?;
        let params = post_params();
        let (_, whole) = if is_stored {
            let replace = self.cluster.own_secrets().replace(R::SECRET, &params, body);
            send(&self.cluster, "replace a key ring", replace).await?
        } else {
            let create = self.cluster.own_secrets().create(&params, body);
            send(&self.cluster, "store a key ring", create).await?
        };
        tracing::info!(secret = R::SECRET, "Stored the {}", R::NAME);
        slot.set(ring, shell(whole)?);
        Ok(())
    }
}

fn new_shell(name: &str, namespace: &str) -> Result<Whole, Error> {
    let labels = [
        (names::LABEL_MANAGED_BY, names::MANAGED_BY),
        (names::LABEL_COMPONENT, names::COMPONENT_KEY_RING),
    ];
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some(
                labels
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into(),
            ),
            ..ObjectMeta::default()
        },
        type_: Some(names::KEY_RING_SECRET_TYPE.to_owned()),
        ..Secret::default()
    };
    let json = serde_json::to_string(&secret);
    let json = json.map_err(|error| Error::internal("write a key ring", &error))?;
    Whole::decode(&json).map_err(|error| Error::internal("write a key ring", &error))
}
