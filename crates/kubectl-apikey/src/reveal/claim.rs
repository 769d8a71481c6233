//! Claims a secret that is revealed only once, with one conditional write that sets `revealed-at` on the
//! Secret.
//!
//! # Guarantees
//! - Of several concurrent claims, at most one succeeds. The write applies only to the version of the
//!   Secret that was read, so the client that makes it has the secret, even if its response is lost and
//!   the Secret is removed.
//! - A Secret without the content that the operator delivers is not claimed.

use k8s_openapi::api::core::v1::Secret as CoreSecret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{PartialObjectMeta, Patch};
use kube::core::Request;
use serde_json::json;

use crate::delivered::{self, DeliveredSecret};
use crate::exit::Failure;
use crate::invocation::Cluster;
use crate::{key, lost, patch, select};
use apikey_api::conditions::{self, reason};
use apikey_api::{ApiKey, names};
use apikey_client::error::{Error, request};
use apikey_client::object::Answer;

/// Maximum number of attempts, after another change of the Secret or a lost response.
const TRIES: usize = 5;
/// Reasons of `Delivered` that mean that the Secret was removed without a claim.
const NEVER_CLAIMED: [&str; 2] = [reason::CLAIM_EXPIRED, reason::SECRET_REMOVED];

/// A claim on the secret of a key.
pub(super) struct Claim<'a> {
    cluster: &'a Cluster,
    key: &'a ApiKey,
    secrets: Api<Answer<CoreSecret>>,
}

/// What happened to a claim whose response was lost.
enum Outcome {
    Made,
    NotMade,
    /// The Secret is gone, or another client claimed it.
    Lost(Failure),
}

impl<'a> Claim<'a> {
    /// Creates a claim on the secret of this key.
    pub(super) fn new(cluster: &'a Cluster, key: &'a ApiKey) -> Self {
        Self {
            cluster,
            key,
            secrets: cluster.secrets(),
        }
    }

    /// Name of the key.
    pub(super) fn name(&self) -> &str {
        key::name(self.key)
    }

    /// Makes the claim. Of several concurrent claims, one succeeds and the others fail.
    pub(super) async fn make(&self, now: Timestamp) -> Result<DeliveredSecret, Failure> {
        // The stamp also identifies the claim. The status keeps it to the microsecond.
        let stamp = now.to_string();
        let mut tries = 0;
        // The value that was read for a claim whose response was lost.
        let mut held: Option<DeliveredSecret> = None;
        loop {
            tries += 1;
            let Some(secret) = self.read(held.is_some()).await? else {
                let Some(delivered) = held else {
                    return Err(self.gone().await);
                };
                return match self.look_up(&stamp, now).await? {
                    Outcome::Made => Ok(delivered),
                    Outcome::NotMade => Err(self.gone().await),
                    Outcome::Lost(failure) => Err(failure),
                };
            };
            self.refuse(&secret.metadata, &stamp)?;
            if claimed_at(&secret.metadata).is_some() {
                // The Secret has this claim's stamp, from a write that took effect late. Its value may
                // already be removed.
                return held.map_or_else(|| DeliveredSecret::take(secret), Ok);
            }
            let version = secret.metadata.resource_version.clone();
            let delivered = DeliveredSecret::take(secret)?;
            let error = match self.write(version, &stamp).await {
                Ok(()) => return Ok(delivered),
                Err(error) => error,
            };
            if lost::may_be_made(&error) {
                match self.look_up(&stamp, now).await {
                    Ok(Outcome::Made) => return Ok(delivered),
                    Ok(Outcome::NotMade) => held = Some(delivered),
                    Ok(Outcome::Lost(failure)) => return Err(failure),
                    Err(failure) => return Err(unknown(&error.into(), &failure)),
                }
            } else if !matches!(error.code(), Some(404 | 409)) {
                return Err(error.into());
            }
            if tries >= TRIES {
                return Err(error.into());
            }
        }
    }

    /// Reads the Secret. With `patiently`, retries while the API server is unavailable.
    async fn read(&self, patiently: bool) -> Result<Option<CoreSecret>, Failure> {
        let read = async || {
            let found = self.secrets.get_opt(self.key.secret_name());
            let found = request("read the Secret", found).await?;
            Ok(found.map(|Answer(secret)| secret))
        };
        if patiently {
            lost::look(async || read().await.map(Some)).await
        } else {
            read().await
        }
    }

    async fn write(&self, version: Option<String>, stamp: &str) -> Result<(), Error> {
        let body = json!({"metadata": {
            "resourceVersion": version,
            "annotations": {(names::ANNOTATION_REVEALED_AT): stamp},
        }});
        let url = Request::new(self.secrets.resource_url());
        let patch = Patch::Merge(&body);
        let params = patch::params(patch::FIELD_MANAGER);
        let patch = url.patch_metadata(self.key.secret_name(), &params, &patch);
        let written = async {
            let patch = patch.map_err(kube::Error::BuildRequest)?;
            let client = &self.cluster.client;
            let written = client.request::<Answer<PartialObjectMeta<CoreSecret>>>(patch);
            written.await.map(|_| ())
        };
        request("claim the secret", written).await
    }

    /// Fails unless the Secret can be claimed. It checks the Secret before the status, because the status is
    /// older than the Secret right after a rotation.
    pub(super) async fn look(&self) -> Result<(), Failure> {
        match self.metadata().await? {
            Some(metadata) => self.refuse(&metadata, ""),
            None => Err(self.gone().await),
        }
    }

    async fn metadata(&self) -> Result<Option<ObjectMeta>, Failure> {
        let secrets = self.cluster.here::<CoreSecret>();
        let found = self.cluster.metadata(secrets, self.key.secret_name());
        let found = request("read the Secret", found).await?;
        Ok(found.map(|secret| secret.metadata))
    }

    /// Fails if the Secret has another owner, or another client claimed it.
    fn refuse(&self, secret: &ObjectMeta, stamp: &str) -> Result<(), Failure> {
        if !delivered::is_of(secret, self.key) {
            return Err(delivered::foreign(self.key));
        }
        match claimed_at(secret).filter(|at| *at != stamp) {
            Some(at) => Err(too_late(self.key, at)),
            None => Ok(()),
        }
    }

    /// Looks up whether the claim was made.
    async fn look_up(&self, stamp: &str, now: Timestamp) -> Result<Outcome, Failure> {
        lost::look(async || {
            if let Some(secret) = self.metadata().await? {
                return Ok(Some(match self.refuse(&secret, stamp) {
                    Err(failure) => Outcome::Lost(failure),
                    Ok(()) if claimed_at(&secret).is_some() => Outcome::Made,
                    Ok(()) => Outcome::NotMade,
                }));
            }
            // The operator removes a claimed Secret. The status then has the time of the claim.
            let key = select::one(self.cluster, self.name()).await?;
            let at = key
                .status
                .as_ref()
                .and_then(|status| status.revealed_at.as_ref());
            let delivered = conditions::find(key::conditions_of(&key), conditions::DELIVERED);
            Ok(match at {
                Some(at) if at.0.as_microsecond() == now.as_microsecond() => Some(Outcome::Made),
                Some(at) => Some(Outcome::Lost(too_late(&key, &at.0.to_string()))),
                None if delivered.is_some_and(|d| NEVER_CLAIMED.contains(&&*d.reason)) => {
                    Some(Outcome::Lost(self.gone().await))
                }
                None => None,
            })
        })
        .await
    }

    /// The failure for a missing Secret: it was claimed, or it was removed without a claim.
    async fn gone(&self) -> Failure {
        let key = match select::one(self.cluster, self.name()).await {
            Ok(key) => key,
            Err(failure) => return failure,
        };
        let status = key.status.as_ref();
        if let Some(at) = status.and_then(|status| status.revealed_at.as_ref()) {
            return too_late(&key, &at.0.to_string());
        }
        let delivered = conditions::find(key::conditions_of(&key), conditions::DELIVERED);
        let why = delivered.map_or("no operator has seen this key yet", |c| c.message.as_str());
        Failure::no(format!(
            "Secret '{}' does not exist: {why}. If it was claimed, status.revealedAt will show \
             when; to get a new secret: {}",
            key.secret_name(),
            key::call(&key, "rotate")
        ))
    }
}

fn claimed_at(secret: &ObjectMeta) -> Option<&str> {
    let annotations = secret.annotations.as_ref()?;
    annotations
        .get(names::ANNOTATION_REVEALED_AT)
        .map(String::as_str)
}

fn too_late(key: &ApiKey, at: &str) -> Failure {
    let name = key::name(key);
    Failure::no(format!(
        "the secret of '{name}' was already claimed at {at} (ApiKey status.revealedAt); rotate to \
         get a new one: {}",
        key::call(key, "rotate")
    ))
}

fn unknown(lost: &Failure, why: &Failure) -> Failure {
    Failure::failed(format!(
        "{}. Whether the secret was claimed is not known ({}): run this again, and if it was, rotate",
        lost.message(),
        why.message()
    ))
}
