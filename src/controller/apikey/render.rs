//! What is written to the delivered Secret. Pure.
//!
//! A create writes the first value. It fails if a Secret of that name exists, and costs the API
//! server half as much as an apply. A server-side apply writes a further value. It sets only the
//! operator's fields and keeps those of others. If others write at the same time, a JSON Patch
//! writes the value.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use k8s_openapi::jiff::Timestamp;
use kube::Resource as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::controller::delivered::{Delivered, SELECTED_BY};
use crate::controller::written::Fields;
use apikey_api::names::{self, data};
use apikey_api::{ApiKey, SecretTemplate};
use apikey_credential::{KeyId, Secret, hex};

/// Digest of what a Secret has besides the value: labels and annotations of the template, and the
/// address of the token endpoint. `None` if there is nothing.
#[must_use]
pub fn template_digest(apikey: &ApiKey, token_url: Option<&str>) -> Option<String> {
    let none = SecretTemplate::default();
    let template = apikey.secret_template().unwrap_or(&none);
    if template.labels.is_empty() && template.annotations.is_empty() && token_url.is_none() {
        return None;
    }
    let canonical = json!([template.labels, template.annotations, token_url]).to_string();
    Some(hex::encode(&Sha256::digest(canonical.as_bytes())[..8]))
}

/// Whether what the Secret has besides the value differs from what [`template`] sets.
#[must_use]
pub fn needs_template(apikey: &ApiKey, secret: &Delivered, token_url: Option<&str>) -> bool {
    let digest = template_digest(apikey, token_url);
    if digest.as_deref() != secret.template.as_deref() {
        return true;
    }
    let none = SecretTemplate::default();
    let template = apikey.secret_template().unwrap_or(&none);
    let own = digest.map(|_| names::ANNOTATION_TEMPLATE.to_owned());
    secret.written.is_template_changed(Fields {
        labels: template.labels.keys().cloned().collect(),
        annotations: template.annotations.keys().cloned().chain(own).collect(),
        data: token_url
            .map(|_| data::TOKEN_URL.to_owned())
            .into_iter()
            .collect(),
    })
}

/// What a write of the value needs besides the key.
#[derive(Clone, Copy, Debug)]
pub struct NewValue<'a> {
    /// The value.
    pub secret: &'a Secret,
    /// The value as an age file, if the key has recipients. Then only this file is delivered.
    pub sealed: Option<&'a str>,
    /// Its revision.
    pub revision: i64,
    /// Digest of its entry in the credential record.
    pub entry_digest: &'a str,
    /// Public id of the key.
    pub key_id: &'a KeyId,
    /// GUID of the organization.
    pub organization_id: uuid::Uuid,
    /// Expiry of the key.
    pub expires_at: Timestamp,
}

/// The Secret that delivers a value, as JSON text for a create or an apply. `replaces` is the
/// Secret to replace, in exactly this version. If it is `None`, no Secret of that name may exist.
#[must_use]
pub fn value(
    apikey: &ApiKey,
    value: &NewValue<'_>,
    replaces: Option<&Delivered>,
) -> Zeroizing<String> {
    Zeroizing::new(secret_document(apikey, value, replaces).to_string())
}

/// The same for a Secret that others write to constantly: a JSON Patch (RFC 6902), which the API
/// server retries after a conflict. It fails if the Secret is no longer the observed one or has
/// another value. It also fails if the Secret has no labels, no annotations or no data.
#[must_use]
pub fn value_patch(apikey: &ApiKey, value: &NewValue<'_>, replaces: &Delivered) -> Value {
    let annotation = |name: &str| pointer(&["metadata", "annotations", name]);
    let owner = |field| pointer(&["metadata", "ownerReferences", "0", field]);
    let expected = [
        (pointer(&["metadata", "uid"]), json!(replaces.uid)),
        (pointer(&["metadata", "deletionTimestamp"]), Value::Null),
        (owner("uid"), json!(apikey.metadata.uid)),
        (owner("controller"), json!(true)),
        (
            annotation(names::ANNOTATION_VERIFIER),
            json!(replaces.entry_digest),
        ),
        (
            annotation(names::ANNOTATION_REVEALED_AT),
            json!(replaces.revealed_at),
        ),
    ];
    let expected = expected
        .into_iter()
        .map(|(path, value)| json!({"op": "test", "path": path, "value": value}));
    let document = secret_document(apikey, value, Some(replaces));
    let set = [
        &["metadata", "labels"][..],
        &["metadata", "annotations"],
        &["data"],
    ];
    let set = set.into_iter().flat_map(|at| {
        let fields = document.pointer(&pointer(at)).and_then(Value::as_object);
        fields.into_iter().flatten().map(move |(name, value)| {
            let path = pointer(&[at, &[name.as_str()]].concat());
            json!({"op": "add", "path": path, "value": value})
        })
    });
    expected.chain(set).collect()
}

/// The path of a field as a JSON Pointer (RFC 6901).
fn pointer(at: &[&str]) -> String {
    let escaped = at
        .iter()
        .map(|name| name.replace('~', "~0").replace('/', "~1"));
    escaped.fold(String::new(), |path, name| path + "/" + &name)
}

fn secret_document(apikey: &ApiKey, value: &NewValue<'_>, replaces: Option<&Delivered>) -> Value {
    let login_name = BASE64.encode(apikey.login_name());
    let (secret_key, plain) = match value.sealed {
        Some(sealed) => (data::SECRET_AGE, sealed),
        None => (data::SECRET, value.secret.expose()),
    };
    let secret = Zeroizing::new(BASE64.encode(plain));
    let mut data: BTreeMap<&str, &str> = BTreeMap::new();
    let key_id = BASE64.encode(value.key_id.as_str());
    let organization_id = BASE64.encode(value.organization_id.to_string());
    data.insert(data::NAME, &login_name);
    data.insert(secret_key, &secret);
    data.insert(data::KEY_ID, &key_id);
    data.insert(data::ORGANIZATION_ID, &organization_id);
    if let Some(keys) = apikey
        .spec
        .secret
        .as_ref()
        .and_then(|spec| spec.keys.as_ref())
    {
        data.extend(keys.name.as_deref().map(|key| (key, login_name.as_str())));
        let alias = keys.secret.as_deref().filter(|_| value.sealed.is_none());
        data.extend(alias.map(|key| (key, secret.as_str())));
    }
    let template = apikey.secret_template();
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": apikey.secret_name(),
            "namespace": apikey.metadata.namespace,
            "uid": replaces.map(|secret| &*secret.uid),
            "resourceVersion": replaces.map(|secret| &*secret.resource_version),
            "labels": {
                (names::LABEL_MANAGED_BY): names::MANAGED_BY,
                (names::LABEL_COMPONENT): names::COMPONENT_API_KEY,
                (names::LABEL_KEY_ID): value.key_id,
            },
            "annotations": {
                (names::ANNOTATION_REVISION): value.revision.to_string(),
                (names::ANNOTATION_EXPIRES_AT): value.expires_at.to_string(),
                (names::ANNOTATION_VERIFIER): value.entry_digest,
            },
            "ownerReferences": [owner_reference(apikey)],
        },
        "type": template.and_then(|t| t.type_.as_deref()).unwrap_or("Opaque"),
        "data": data,
    })
}

/// The apply document that sets what exactly this Secret has besides the value; see
/// [`template_digest`].
#[must_use]
pub fn template(apikey: &ApiKey, secret: &Delivered, token_url: Option<&str>) -> Value {
    let none = SecretTemplate::default();
    let template = apikey.secret_template().unwrap_or(&none);
    let mut annotations = template.annotations.clone();
    let digest = template_digest(apikey, token_url);
    let data: BTreeMap<_, _> = token_url
        .map(|url| (data::TOKEN_URL, BASE64.encode(url)))
        .into_iter()
        .collect();
    annotations.extend(digest.map(|digest| (names::ANNOTATION_TEMPLATE.to_owned(), digest)));
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": apikey.secret_name(),
            "namespace": apikey.metadata.namespace,
            "uid": secret.uid,
            "labels": template.labels,
            "annotations": annotations,
        },
        "data": data,
    })
}

/// The merge patch that removes all values from exactly this Secret, and the annotation that says
/// that it holds one.
#[must_use]
pub fn emptied(secret: &Delivered) -> Value {
    json!({
        "metadata": {
            "uid": secret.uid,
            "labels": BTreeMap::from(SELECTED_BY),
            "annotations": {(names::ANNOTATION_VERIFIER): null},
        },
        "data": null,
    })
}

/// The merge patch that puts back the labels by which exactly this Secret is watched.
#[must_use]
pub fn labels(secret: &Delivered) -> Value {
    json!({"metadata": {"uid": secret.uid, "labels": BTreeMap::from(SELECTED_BY)}})
}

/// The merge patch that makes the key the only owner of exactly this Secret.
#[must_use]
pub fn adoption(apikey: &ApiKey, secret: &Delivered) -> Value {
    json!({
        "metadata": {
            "uid": secret.uid,
            "resourceVersion": secret.resource_version,
            "ownerReferences": [owner_reference(apikey)],
        },
    })
}

/// A controller reference without `blockOwnerDeletion`, because nothing may delay the deletion of a
/// key.
fn owner_reference(apikey: &ApiKey) -> OwnerReference {
    OwnerReference {
        api_version: ApiKey::api_version(&()).into_owned(),
        kind: ApiKey::kind(&()).into_owned(),
        name: apikey.metadata.name.clone().unwrap_or_default(),
        uid: apikey.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}
