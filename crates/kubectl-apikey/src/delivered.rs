//! Reads the delivered Secret of a key.
//!
//! Clear-text values are wiped when they are dropped, and the response of the API server is wiped after they
//! are taken from it. Copies in the buffers of the HTTP client can't be wiped here.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret as CoreSecret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use zeroize::{Zeroize as _, Zeroizing};

use super::exit::Failure;
use super::invocation::Cluster;
use super::key;
use apikey_api::names::{self, data};
use apikey_api::{ApiKey, conditions};
use apikey_client::error::request;
use apikey_client::object::Answer;

/// The secret of a key, as it is delivered.
pub(super) enum Value {
    /// In clear text.
    Clear(Zeroizing<String>),
    /// As an age file.
    Sealed(Vec<u8>),
}

/// The content of a delivered Secret.
pub(super) struct DeliveredSecret {
    /// Login name at the token endpoint.
    pub(super) name: String,
    /// The secret.
    pub(super) value: Value,
    /// Public id of the key.
    pub(super) key_id: String,
    /// GUID of the organization.
    pub(super) organization_id: String,
    /// Address of the token endpoint, if the operator knows it.
    pub(super) token_url: Option<String>,
    /// Time from which the key is refused, according to the Secret.
    pub(super) expires_at: Option<String>,
}

impl DeliveredSecret {
    /// Takes the values out of this Secret and wipes the rest.
    pub(super) fn take(mut secret: CoreSecret) -> Result<Self, Failure> {
        let mut all = secret.data.take().unwrap_or_default();
        let annotations = secret.metadata.annotations.take().unwrap_or_default();
        let text = |name| {
            let ByteString(bytes) = all.get(name)?;
            String::from_utf8(bytes.clone()).ok()
        };
        let parts = (
            text(data::NAME),
            text(data::KEY_ID),
            text(data::ORGANIZATION_ID),
            text(data::TOKEN_URL),
        );
        let clear = text(data::SECRET).map(|text| Value::Clear(Zeroizing::new(text)));
        let sealed = || {
            let ByteString(bytes) = all.get(data::SECRET_AGE)?;
            Some(Value::Sealed(bytes.clone()))
        };
        let value = clear.or_else(sealed);
        for ByteString(bytes) in all.values_mut() {
            bytes.zeroize();
        }
        let (Some(name), Some(key_id), Some(organization_id), token_url) = parts else {
            return Err(incomplete());
        };
        Ok(Self {
            name,
            value: value.ok_or_else(incomplete)?,
            key_id,
            organization_id,
            token_url,
            expires_at: annotations.get(names::ANNOTATION_EXPIRES_AT).cloned(),
        })
    }
}

fn incomplete() -> Failure {
    Failure::no(
        "the Secret lacks data that the operator wrote, so it was changed: rotate the key to write \
         it again",
    )
}

/// The failure for a Secret whose content is not what the operator delivers.
pub(super) fn changed() -> Failure {
    Failure::no(
        "the Secret does not hold a secret that the operator created, so it was changed: rotate \
         the key to write it again",
    )
}

/// Reads the delivered Secret of a key with `delivery: Keep`.
pub(super) async fn read(cluster: &Cluster, key: &ApiKey) -> Result<DeliveredSecret, Failure> {
    let secrets = cluster.secrets();
    let name = key.secret_name();
    let found = request("read the Secret", secrets.get_opt(name)).await?;
    let Answer(secret) = found.ok_or_else(|| missing(key))?;
    if !is_of(&secret.metadata, key) {
        return Err(foreign(key));
    }
    DeliveredSecret::take(secret)
}

/// Whether this key controls the Secret.
pub(super) fn is_of(secret: &ObjectMeta, key: &ApiKey) -> bool {
    let mut owners = secret.owner_references.iter().flatten();
    key.metadata.uid.is_some()
        && owners.any(|owner| {
            owner.controller == Some(true) && Some(&owner.uid) == key.metadata.uid.as_ref()
        })
}

/// The failure for a missing Secret, with the reason and the fix.
fn missing(key: &ApiKey) -> Failure {
    let why = match key::ready(key) {
        Some(ready) if ready.status != "True" => ready.message.clone(),
        Some(_) => "it was removed, and the operator will deliver a new one".to_owned(),
        None => "no operator has seen this key yet".to_owned(),
    };
    Failure::no(format!(
        "Secret '{}' does not exist: {why}; see `{}`",
        key.secret_name(),
        key::call(key, "status")
    ))
}

/// The failure for a Secret that another object owns.
pub(super) fn foreign(key: &ApiKey) -> Failure {
    let condition = conditions::find(key::conditions_of(key), conditions::READY);
    let advice = condition.map_or_else(
        || format!("see `{}`", key::call(key, "status")),
        |ready| ready.message.clone(),
    );
    Failure::no(format!(
        "Secret '{}' does not belong to this ApiKey, so its content is not the secret of this key: \
         {advice}",
        key.secret_name()
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn secret(entries: &[(&str, &str)]) -> CoreSecret {
        let entries = entries.iter();
        let data: BTreeMap<_, _> = entries
            .map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())))
            .collect();
        CoreSecret {
            data: Some(data),
            ..CoreSecret::default()
        }
    }

    #[test]
    fn either_form_of_the_secret_is_taken_and_a_secret_without_one_is_refused() {
        let all = [("name", "ci"), ("key-id", "k"), ("organization-id", "o")];
        let clear =
            DeliveredSecret::take(secret(&[&all[..], &[("secret", "s")]].concat())).unwrap();
        assert!(matches!(clear.value, Value::Clear(text) if *text == "s"));
        assert_eq!((clear.name, clear.token_url), ("ci".to_owned(), None));
        let sealed =
            DeliveredSecret::take(secret(&[&all[..], &[("secret.age", "a")]].concat())).unwrap();
        assert!(matches!(sealed.value, Value::Sealed(bytes) if bytes == b"a"));
        let refused = DeliveredSecret::take(secret(&all)).err().unwrap();
        assert!(refused.message().contains("rotate"));
    }
}
