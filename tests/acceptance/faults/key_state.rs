//! A key and what belongs to it.

use apikey_api::ApiKey;
use apikey_credential::record::CredentialRecord;
use k8s_openapi::api::core::v1::Secret;

/// A key and what belongs to it, as it is stored.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyState {
    pub(super) key: Option<ApiKey>,
    /// The Secret with the name of the delivered one.
    pub(super) secret: Option<Secret>,
    /// The credential records of this key and of earlier keys with its name.
    pub(super) credential_records: Vec<CredentialRecord>,
}

impl KeyState {
    pub(super) fn is_gone(&self) -> bool {
        self.key.is_none() && self.secret.is_none() && self.credential_records.is_empty()
    }

    pub(super) fn label(&self, name: &str) -> Option<&str> {
        let labels = self.secret.as_ref()?.metadata.labels.as_ref()?;
        labels.get(name).map(String::as_str)
    }
}
