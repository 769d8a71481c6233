//! The delivered Secret.

#![expect(
    unreachable_pub,
    reason = "KubeSchema repeats each type for validation, as `pub`"
)]

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// How long a secret can be claimed by default, in seconds.
const DEFAULT_REVEAL_WITHIN_SECONDS: u32 = 86_400;

/// Whether the delivered Secret is kept.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// The Secret is kept for the lifetime of the key.
    #[default]
    Keep,
    /// The Secret is removed after somebody claims the secret, or after the time to claim it ends.
    RevealOnce,
}

impl Delivery {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_keep(&self) -> bool {
        *self == Self::Keep
    }
}

/// Name, content and metadata of the delivered Secret.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "!has(self.revealWithinSeconds) || \
         (has(self.delivery) && self.delivery == 'RevealOnce')"
    ).message(
        "`revealWithinSeconds` requires `delivery: RevealOnce`: set it, or remove \
         `revealWithinSeconds`"
    ),
    validation = Rule::new(
        "!has(self.recipients) || !has(self.keys) || !has(self.keys.secret)"
    ).message(
        "`keys.secret` can't be used with `recipients`, because the Secret then holds no secret in \
         clear text: read data key 'secret.age'"
    )
)]
pub struct DeliveredSecretSpec {
    /// Name of the Secret, in the namespace of the ApiKey. The operator never changes an existing Secret that
    /// this ApiKey does not own. Defaults to `metadata.name`. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub name: Option<String>,

    /// Additional data keys with the same values, for programs that expect fixed names. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<SecretDataKeys>,

    /// `Keep`: the Secret is kept for the lifetime of the key. `RevealOnce`: the Secret is removed as soon as
    /// somebody claims its value (`kubectl apikey reveal`), and no other copy of the secret exists. Default
    /// `Keep`. Immutable.
    #[serde(default, skip_serializing_if = "Delivery::is_keep")]
    #[schemars(schema_with = "schema::delivery")]
    pub delivery: Delivery,

    /// With `RevealOnce`: seconds after which an unclaimed Secret is removed, from 60 to 2592000 (30 days).
    /// Default 86400 (a day).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::reveal_within_seconds")]
    pub reveal_within_seconds: Option<u32>,

    /// Public keys of age ("age1..."), at most 16. If they are set, the Secret holds the secret only as an
    /// age file (data key 'secret.age'), which the owner of one of the private keys can open. The clear text
    /// is never stored. A change takes effect with the next secret. The field can't be added or removed
    /// later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::recipients")]
    pub recipients: Vec<String>,

    /// Labels, annotations and type of the Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<SecretTemplate>,
}

impl DeliveredSecretSpec {
    /// How long a secret can be claimed, in seconds.
    #[must_use]
    pub fn reveal_within_seconds(&self) -> u32 {
        self.reveal_within_seconds
            .unwrap_or(DEFAULT_REVEAL_WITHIN_SECONDS)
    }
}

/// Additional data keys of the delivered Secret.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.name) || !has(self.secret) || self.name != self.secret")
        .message("`keys.name` and `keys.secret` must differ: each is one data key of the Secret"),
    validation = Rule::new(
        "(!has(self.name) || \
         !(self.name in ['name', 'secret', 'key-id', 'organization-id', 'token-url', \
         'secret.age'])) && \
         (!has(self.secret) || \
         !(self.secret in ['name', 'secret', 'key-id', 'organization-id', 'token-url', \
         'secret.age']))"
    ).message(
        "`keys` must not be 'name', 'secret', 'secret.age', 'key-id', 'organization-id' or \
         'token-url', because the Secret already has these data keys"
    )
)]
pub struct SecretDataKeys {
    /// Additional data key for the login name, for example "API_KEY_NAME".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::data_key")]
    pub name: Option<String>,

    /// Additional data key for the secret, for example "API_KEY_SECRET".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::data_key")]
    pub secret: Option<String>,
}

/// Metadata and type of the delivered Secret. The operator never copies labels and annotations of the ApiKey,
/// because GitOps tools would treat the copy as their own object and prune it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "!has(self.labels) || self.labels.all(k, !k.startsWith('apikey-operator.dev/') \
         && k != 'app.kubernetes.io/managed-by' && k != 'app.kubernetes.io/component')"
    ).message(
        "`template.labels` must not set 'app.kubernetes.io/managed-by', \
         'app.kubernetes.io/component' or 'apikey-operator.dev/...': the operator sets those"
    ),
    validation = Rule::new(
        "!has(self.labels) || self.labels.all(k, !(k.startsWith('argocd.argoproj.io/') \
         || k.startsWith('cluster.x-k8s.io/') || k.startsWith('sealedsecrets.bitnami.com/')))"
    ).message(
        "`template.labels` must not set labels of 'argocd.argoproj.io', 'cluster.x-k8s.io' or \
         'sealedsecrets.bitnami.com': programs treat a Secret with such a label as their own \
         configuration"
    ),
    validation = Rule::new(
        "!has(self.annotations) || \
         self.annotations.all(k, !k.startsWith('apikey-operator.dev/'))"
    ).message(
        "`template.annotations` must not set 'apikey-operator.dev/...': the operator sets those"
    ),
    validation = Rule::new(
        "!has(self.type) || !(self.type.startsWith('kubernetes.io/') || \
         self.type.startsWith('bootstrap.kubernetes.io/') || \
         self.type.startsWith('apikey-operator.dev/'))"
    ).message(
        "`template.type` must not be a type of 'kubernetes.io', 'bootstrap.kubernetes.io' or \
         'apikey-operator.dev', which have a special meaning: use 'Opaque' or a type of your own"
    )
)]
pub struct SecretTemplate {
    /// Labels to set on the Secret, at most 64. The operator leaves other labels unchanged.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::template_labels")]
    pub labels: BTreeMap<String, String>,

    /// Annotations to set on the Secret, at most 64, with at most 8192 characters in total. The operator
    /// leaves other annotations unchanged.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::template_annotations")]
    pub annotations: BTreeMap<String, String>,

    /// Type of the Secret. Defaults to 'Opaque'. Immutable.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-zA-Z0-9]([-a-zA-Z0-9./_]*[a-zA-Z0-9])?$")
    )]
    pub type_: Option<String>,
}
