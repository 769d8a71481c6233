//! `Organization`: the rules for the keys of one organization. Cluster-scoped.

#![expect(
    unreachable_pub,
    reason = "KubeSchema repeats each type for validation, as `pub`"
)]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// The rules for the keys of one organization.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "apikey-operator.dev",
    version = "v1alpha1",
    kind = "Organization",
    plural = "organizations",
    singular = "organization",
    shortname = "org",
    category = "apikey-operator",
    status = "OrganizationStatus",
    derive = "PartialEq",
    doc = "An organization that API keys belong to: its role catalogue, the namespaces that may \
           create keys for it, and its limits. An ApiKey refers to it in `spec.org`.",
    selectable = ".spec.parent",
    printcolumn(name = "Parent", type_ = "string", json_path = ".spec.parent"),
    printcolumn(name = "Active", type_ = "integer", json_path = ".status.activeKeys"),
    printcolumn(name = "Expired", type_ = "integer", json_path = ".status.expiredKeys"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Id", type_ = "string", json_path = ".status.id", priority = 1),
    printcolumn(
        name = "Display",
        type_ = "string",
        json_path = ".spec.displayName",
        priority = 1
    ),
    printcolumn(name = "Owners", type_ = "string", json_path = ".spec.owners", priority = 1),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        priority = 1
    ),
    validation = Rule::new("self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')")
        .message(
            "`metadata.name` must be a DNS label (lower-case letters, digits and '-', at most 63), \
             because it becomes part of the keys' e-mail addresses"
        ),
    validation = Rule::new("!has(self.spec.parent) || self.spec.parent != self.metadata.name")
        .message("`spec.parent` must name another organization")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "has(self.id) == has(oldSelf.id) && (!has(self.id) || self.id == oldSelf.id)"
    ).message(
        "`id` is immutable and can't be added or removed later, because tokens and clients refer \
         to it"
    ),
    validation = Rule::new(
        "has(self.parent) == has(oldSelf.parent) && \
         (!has(self.parent) || self.parent == oldSelf.parent)"
    ).message(
        "`parent` is immutable and can't be added or removed later: create a new organization \
         under the other parent"
    )
)]
pub struct OrganizationSpec {
    /// GUID that identifies this organization to clients and in tokens. Defaults to a UUID (version 5) that
    /// is derived from the name and is the same in every cluster. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_guid")]
    pub id: Option<String>,

    /// Display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub display_name: Option<String>,

    /// Contacts of the organization, at most 16, for example "security@acme.example". The status of a key
    /// that the organization refuses names them as the people to ask. A sub-organization without owners has
    /// those of its parent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::owners")]
    pub owners: Vec<String>,

    /// Name of the parent organization. An organization with a parent is a sub-organization. The parent
    /// must not have a parent itself. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub parent: Option<String>,

    /// Role catalogue: the roles that keys of this organization may have, at most 256. A sub-organization
    /// without roles has those of its parent. If neither has any, every role is allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::role_catalogue")]
    pub roles: Vec<Role>,

    /// Audiences that keys of this organization may request tokens for, at most 64, including tokens for its
    /// sub-organizations. A sub-organization without audiences has those of its parent. If neither has any,
    /// every audience is allowed, so a key can get tokens for every service that trusts the token endpoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::audiences")]
    pub audiences: Vec<String>,

    /// Namespaces that may create keys for this organization. They do not restrict keys of the parent that
    /// list this sub-organization in `subOrgs`.
    pub allowed_namespaces: AllowedNamespaces,

    /// Limits for the keys. A sub-organization has each limit that it does not set from its parent, and it
    /// can't exceed the limits of its parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<OrganizationLimits>,
}

/// One role of a role catalogue.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Role {
    /// The role key that API keys and tokens use, for example "build-operator".
    pub key: String,
    /// What the role allows, for the people who grant it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Namespaces that may create keys for an organization.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(self.from == 'Names') == has(self.names)").message(
        "`names` must be set when `from` is 'Names', and only then"
    ),
    validation = Rule::new("(self.from == 'Selector') == has(self.selector)").message(
        "`selector` must be set when `from` is 'Selector', and only then"
    )
)]
pub struct AllowedNamespaces {
    /// How namespaces are selected. 'All': every namespace. 'Names': those in `names`. 'Selector': those
    /// whose labels match `selector`.
    pub from: FromNamespaces,

    /// Names of the allowed namespaces, at most 256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::namespace_names")]
    pub names: Vec<String>,

    /// Label selector for the allowed namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<NamespaceSelector>,
}

/// How the allowed namespaces are selected.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FromNamespaces {
    /// Every namespace.
    #[default]
    All,
    /// The namespaces in `names`.
    Names,
    /// The namespaces whose labels match `selector`.
    Selector,
}

/// Selects namespaces by label. A namespace must match all of `matchLabels` and all of `matchExpressions`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.matchLabels) || has(self.matchExpressions)").message(
        "`selector` must have `matchLabels` or `matchExpressions`: use `from: All` for every \
         namespace"
    )
)]
pub struct NamespaceSelector {
    /// Labels that the namespace must have, with their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::match_labels")]
    pub match_labels: BTreeMap<String, String>,

    /// Requirements that the labels of the namespace must meet, at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::match_expressions")]
    pub match_expressions: Vec<Requirement>,
}

/// One requirement of a label selector.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Requirement {
    /// Label key.
    pub key: String,
    /// How the label relates to `values`.
    pub operator: SelectorOperator,
    /// Values to compare with. Must be empty for `Exists` and `DoesNotExist`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// How a label relates to values, as in `metav1.LabelSelector`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectorOperator {
    /// The label exists and its value is one of the values.
    In,
    /// The label is missing, or its value is not one of the values.
    NotIn,
    /// The label exists.
    Exists,
    /// The label is missing.
    DoesNotExist,
}

/// Limits for the keys of an organization.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "!has(self.defaultLifetimeDays) || !has(self.maxLifetimeDays) || \
         self.defaultLifetimeDays <= self.maxLifetimeDays"
    ).message("`defaultLifetimeDays` must not exceed `maxLifetimeDays`")
)]
pub struct OrganizationLimits {
    /// Maximum number of keys, including those of sub-organizations and expired keys that are not deleted.
    /// Above the limit, the oldest keys are admitted and the others are queued. Defaults to no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::max_keys")]
    pub max_keys: Option<i64>,

    /// Maximum lifetime of a key in days, from its creation to its expiry. Default 365.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::lifetime_days")]
    pub max_lifetime_days: Option<i64>,

    /// Lifetime in days of a key without an expiry. Default 180, or the maximum lifetime if that is shorter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::lifetime_days")]
    pub default_lifetime_days: Option<i64>,

    /// Maximum lifetime in seconds of a token for this organization. Default 3600.
    #[serde(
        rename = "maxTokenTTLSeconds",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(schema_with = "schema::token_ttl_seconds")]
    pub max_token_ttl_seconds: Option<i64>,
}

/// The state of the organization as the operator last observed it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct OrganizationStatus {
    /// The `metadata.generation` that this status describes; -1 until the operator has observed the object.
    #[serde(default = "schema::never_observed")]
    #[schemars(schema_with = "schema::observed_generation")]
    pub observed_generation: i64,

    /// GUID of the organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36))]
    pub id: Option<String>,

    /// Number of keys in phase 'Active' from allowed namespaces, not including those of sub-organizations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::key_count")]
    pub active_keys: Option<i64>,

    /// Number of keys in phase 'Expired' from allowed namespaces, not including those of sub-organizations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::key_count")]
    pub expired_keys: Option<i64>,

    /// 'Ready' is always present. 'Reconciling' and 'Stalled' are present only while they are true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}
