//! Helpers for one key: its object, its delivered Secret and its credential record.

use std::collections::BTreeMap;

use apikey_api::{ApiKey, conditions, names};
use apikey_client::object::Answer;
use apikey_credential::fingerprint::PepperRing;
use apikey_credential::record::CredentialRecord;
use k8s_openapi::api::core::v1::Secret as CoreSecret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::cluster::OPERATOR_NAMESPACE;
use super::credential::Credential;
use super::eventually;
use super::scope::Scope;
use super::token::TokenServer;

impl Scope<'_> {
    pub(crate) fn keys(&self) -> Api<ApiKey> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn secrets(&self) -> Api<CoreSecret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Secrets of the operator's namespace: credential records and key rings.
    pub(crate) fn operator_secrets(&self) -> Api<CoreSecret> {
        Api::namespaced(self.client.clone(), OPERATOR_NAMESPACE)
    }

    /// Waits until `wanted` holds for the key and its status is about its current spec.
    pub(crate) async fn key(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&ApiKey) -> bool,
    ) -> ApiKey {
        let keys = self.keys();
        let wanted = &wanted;
        eventually(&format!("ApiKey {name} is {what}"), || {
            let keys = keys.clone();
            async move {
                let key = keys.get_opt(name).await.unwrap()?;
                let seen = key.status.as_ref().map(|status| status.observed_generation);
                (seen == key.metadata.generation && wanted(&key)).then_some(key)
            }
        })
        .await
    }

    /// Waits until the key is ready.
    pub(crate) async fn ready(&self, name: &str) -> ApiKey {
        self.key(name, "ready", |key| {
            ready_reason(key) == ("True".into(), "Issued".into())
        })
        .await
    }

    /// Waits until the key is not ready for this reason. Returns the message.
    pub(crate) async fn refused(&self, name: &str, reason: &str) -> String {
        let wanted = ("False".to_owned(), reason.to_owned());
        let key = self
            .key(name, reason, |key| ready_reason(key) == wanted)
            .await;
        let status = key.status.unwrap();
        conditions::find(&status.conditions, conditions::READY)
            .unwrap()
            .message
            .clone()
    }

    /// Creates a key, as [`Self::apply_key`] does, and waits until the token server knows it.
    pub(crate) async fn usable(&self, server: &TokenServer, name: &str, more: &str) -> Credential {
        self.apply_key(name, more);
        let credential = self.credential(&self.ready(name).await).await;
        server.token_for(&credential).await;
        credential
    }

    /// Sets annotations of a key.
    pub(crate) async fn annotate(&self, name: &str, annotations: &[(&str, &str)]) {
        let annotations: BTreeMap<_, _> = annotations.iter().copied().collect();
        let patch = json!({"metadata": {"annotations": annotations}});
        let params = PatchParams::default();
        let patched = self
            .keys()
            .patch(name, &params, &Patch::Merge(&patch))
            .await;
        patched.unwrap();
    }

    /// Requests a rotation and waits until it is done.
    pub(crate) async fn rotate(&self, name: &str, token: &str) -> ApiKey {
        let request = (names::ANNOTATION_ROTATE_REQUESTED_AT, token);
        self.annotate(name, &[request]).await;
        self.rotated(name, token).await
    }

    /// Waits until the request for a rotation is handled.
    pub(crate) async fn rotated(&self, name: &str, token: &str) -> ApiKey {
        self.key(name, "rotated", |key| {
            let status = key.status.as_ref();
            status.and_then(|s| s.handled_rotate_request.as_deref()) == Some(token)
        })
        .await
    }

    /// Claims a secret that is shown once, as the plugin does. `None` if it was claimed before.
    pub(crate) async fn claim(&self, name: &str) -> Option<CoreSecret> {
        let seen = self.secrets().get_metadata_opt(name).await.unwrap()?;
        let annotations = seen.metadata.annotations.unwrap_or_default();
        if annotations.contains_key(names::ANNOTATION_REVEALED_AT) {
            return None;
        }
        let now = super::now().to_string();
        let patch = json!({"metadata": {
            "resourceVersion": seen.metadata.resource_version,
            "annotations": {(names::ANNOTATION_REVEALED_AT): now},
        }});
        let params = PatchParams::default();
        let claimed = self
            .secrets()
            .patch(name, &params, &Patch::Merge(&patch))
            .await;
        claimed.ok()
    }

    /// Changes the spec of a key with a merge patch.
    pub(crate) fn patch_key(&self, name: &str, spec: &str) {
        let patch = format!("{{\"spec\": {spec}}}");
        self.kubectl(&["patch", "apikey", name, "--type=merge", "-p", &patch]);
    }

    /// Waits for the delivered Secret.
    pub(crate) async fn delivered(&self, name: &str) -> CoreSecret {
        eventually(&format!("Secret {name} is there"), async || {
            self.secrets().get_opt(name).await.unwrap()
        })
        .await
    }

    /// The credential record of the key.
    pub(crate) async fn document(&self, key: &ApiKey) -> Option<CredentialRecord> {
        let name = names::record_secret(key.metadata.uid.as_deref().unwrap());
        let secret = self.operator_secrets().get_opt(&name).await.unwrap()?;
        let json = &secret.data.unwrap()[names::VERIFIER_DATA_KEY].0;
        Some(CredentialRecord::parse(json).unwrap())
    }

    /// The delivered secret of a key, with its credential record and the peppers.
    pub(crate) async fn credential(&self, key: &ApiKey) -> Credential {
        let delivered = self.delivered(key.secret_name()).await;
        let document = self.document(key).await.expect("a credential record");
        let secrets =
            Api::<Answer<CoreSecret>>::namespaced(self.client.clone(), OPERATOR_NAMESPACE);
        let Answer(ring) = secrets.get(names::PEPPERS_SECRET).await.unwrap();
        let ring = PepperRing::parse(&ring.data.unwrap()[names::KEY_RING_DATA_KEY].0).unwrap();
        Credential {
            delivered,
            document,
            ring,
        }
    }
}

pub(crate) fn ready_reason(key: &ApiKey) -> (String, String) {
    let conditions = key
        .status
        .as_ref()
        .map(|s| s.conditions.as_slice())
        .unwrap_or_default();
    let ready = conditions::find(conditions, conditions::READY);
    ready
        .map(|c| (c.status.clone(), c.reason.clone()))
        .unwrap_or_default()
}
