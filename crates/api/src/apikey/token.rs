//! What the tokens of a key are for: sub-organizations, audiences, lifetime.

#![expect(
    unreachable_pub,
    reason = "KubeSchema repeats each type for validation, as `pub`"
)]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// A sub-organization that the key may also act in.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SubOrganization {
    /// Name of the sub-organization.
    pub org: String,
    /// What the key may do there; none: `spec.roles`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
}

/// The tokens that the token endpoint issues for the key.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TokenSpec {
    /// Lifetime of a token in seconds. Default 3600. A token never outlives the limit of the
    /// organization that it is for, or the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::token_ttl_seconds")]
    pub ttl_seconds: Option<i64>,

    /// Who the tokens are for (claim `aud`), at most 16, with at most 1024 characters together. Those
    /// that the organization does not allow are left out, and a key left with none is refused. Omitted:
    /// the audience that the token endpoint was started with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::token_audiences")]
    pub audiences: Vec<String>,
}
