//! Claiming a secret that is shown once: one conditional write that sets `revealed-at` on the Secret.
//! Whoever makes it has the secret, in the answer to that very write.

use k8s_openapi::api::core::v1::Secret as CoreSecret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::Patch;
use serde_json::json;

use crate::api::{ApiKey, conditions, names};
use crate::cli::delivered::{self, Delivered};
use crate::cli::exit::Failure;
use crate::cli::invocation::Cluster;
use crate::cli::{key, patch, select};
use crate::error::request;
use crate::object::Answer;

/// How often a claim is tried again because something else of the Secret changed in between.
const TRIES: usize = 5;

/// A claim to be made.
pub(super) struct Claim<'a> {
    cluster: &'a Cluster,
    key: &'a ApiKey,
    secrets: Api<Answer<CoreSecret>>,
}

impl<'a> Claim<'a> {
    /// A claim on the secret of this key.
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

    /// Makes it. Of several claims at once one is made, and the others fail.
    pub(super) async fn make(&self, now: Timestamp) -> Result<Delivered, Failure> {
        let name = self.key.secret_name();
        // With nanoseconds, it also tells whose claim it is.
        let stamp = now.to_string();
        let mut tries = 0;
        loop {
            let version = self.look().await?;
            let body = json!({"metadata": {
                "resourceVersion": version,
                "annotations": {(names::ANNOTATION_REVEALED_AT): stamp},
            }});
            let params = patch::params(patch::FIELD_MANAGER);
            let patch = Patch::Merge(&body);
            let written = self.secrets.patch(name, &params, &patch);
            tries += 1;
            match request("claim the secret", written).await {
                Ok(Answer(secret)) => return Delivered::take(secret),
                Err(error) if error.code() == Some(409) && tries < TRIES => {}
                Err(error) if error.code() == Some(404) => return Err(self.gone().await),
                Err(error) if error.code().is_some() => return Err(error.into()),
                // The write may have been made, with its answer lost.
                Err(error) => return self.own(&stamp).await.ok_or_else(|| lost(&error.into())),
            }
        }
    }

    /// The version of the Secret, if it can be claimed. The status is asked only if it can't: right
    /// after a rotation it is older than the Secret.
    pub(super) async fn look(&self) -> Result<Option<String>, Failure> {
        let name = self.key.secret_name();
        let found = self
            .cluster
            .metadata(self.cluster.here::<CoreSecret>(), name);
        let Some(secret) = request("read the Secret", found).await? else {
            return Err(self.gone().await);
        };
        if !delivered::is_of(&secret.metadata, self.key) {
            return Err(delivered::foreign(self.key));
        }
        match claimed_at(&secret.metadata) {
            Some(at) => Err(too_late(self.key, at)),
            None => Ok(secret.metadata.resource_version),
        }
    }

    /// The secret, if this claim was made and the Secret is still there.
    async fn own(&self, stamp: &str) -> Option<Delivered> {
        let name = self.key.secret_name();
        let secret = request("read the Secret", self.secrets.get(name)).await;
        let Answer(secret) = secret.ok()?;
        let ours = claimed_at(&secret.metadata) == Some(stamp);
        let delivered = Delivered::take(secret).ok();
        delivered.filter(|_| ours)
    }

    /// The Secret is not there: because it was claimed, or because it never was.
    async fn gone(&self) -> Failure {
        let key = match select::one(self.cluster, self.name()).await {
            Ok(key) => key,
            Err(failure) => return failure,
        };
        let status = key.status.as_ref();
        if let Some(at) = status.and_then(|status| status.revealed_at.as_ref()) {
            return too_late(&key, &at.0.to_string());
        }
        let name = key::name(&key);
        let delivered = conditions::find(key::conditions_of(&key), conditions::DELIVERED);
        let why = delivered.map_or("no operator has seen this key yet", |c| c.message.as_str());
        Failure::no(format!(
            "Secret '{}' is not there: {why}. If it was claimed, its time is about to appear in \
             status.revealedAt; to have a new secret: kubectl apikey rotate {name}",
            key.secret_name()
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
         get a new one: kubectl apikey rotate {name}"
    ))
}

fn lost(failure: &Failure) -> Failure {
    Failure::failed(format!(
        "{}. Whether the secret was claimed is not known: run this again, and if it was, rotate",
        failure.message()
    ))
}
