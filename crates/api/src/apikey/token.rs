//! The tokens of a key: sub-organizations, audiences, lifetime.

#![expect(
    unreachable_pub,
    reason = "KubeSchema repeats each type for validation, as `pub`"
)]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// A sub-organization in which the key may also act.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SubOrganization {
    /// Name of the sub-organization.
    pub org: String,
    /// What the key may do there. If empty, `spec.roles`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
}

/// Properties of the tokens that the token endpoint issues for the key.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TokenSpec {
    /// Lifetime of a token in seconds. A token does not exceed the limit of its organization or the expiry of
    /// the key. Default 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::token_ttl_seconds")]
    pub ttl_seconds: Option<i64>,

    /// Audiences of the tokens (claim `aud`), at most 16, with at most 1024 characters in total. Audiences
    /// that the organization does not allow are ignored, and the key is refused if none is left. Defaults to
    /// the audience with which the token endpoint was started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::token_audiences")]
    pub audiences: Vec<String>,
}
