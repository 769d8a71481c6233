//! `ApiKey`: one API key, in the namespace that uses it.
//!
//! `kubectl explain` prints the field comments, so they are written for users. Transition rules are on the
//! parent of a field (KEP-2876), so that they also apply when the field is added or removed.

#![expect(
    unreachable_pub,
    reason = "KubeSchema repeats each type for validation, as `pub`"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

mod rotation;
mod secret;
mod token;

pub use rotation::{
    BadRequest, DEFAULT_OVERLAP_SECONDS, MAX_OVERLAP_SECONDS, ROTATION_WAITS, RotateRequest,
    RotationSpec,
};
pub use secret::{DeliveredSecretSpec, Delivery, SecretDataKeys, SecretTemplate};
pub use token::{SubOrganization, TokenSpec};

/// The declared properties of the key. `name`, `org`, `expiry` and most of `secret` are immutable. `roles`,
/// `subOrgs`, `description`, `suspended`, `rotation`, `token` and the labels and annotations of the template
/// can change at any time, and the secret stays the same.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "apikey-operator.dev",
    version = "v1alpha1",
    kind = "ApiKey",
    plural = "apikeys",
    singular = "apikey",
    shortname = "ak",
    category = "apikey-operator",
    namespaced,
    status = "ApiKeyStatus",
    derive = "PartialEq",
    doc = "An API key: a login name and a secret that an organization gives to a program. The \
           operator delivers the secret to a Secret in this namespace and keeps `status` up to \
           date. Deleting the ApiKey revokes it and removes the Secret.",
    selectable = ".spec.org",
    selectable = ".status.phase",
    printcolumn(name = "Org", type_ = "string", json_path = ".spec.org"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".status.expiresAt"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Roles", type_ = "string", json_path = ".spec.roles", priority = 1),
    printcolumn(name = "Email", type_ = "string", json_path = ".status.email", priority = 1),
    printcolumn(name = "Secret", type_ = "string", json_path = ".status.secretName", priority = 1),
    printcolumn(
        name = "Last-Used",
        type_ = "date",
        json_path = ".status.lastUsedAt",
        priority = 1
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        priority = 1
    ),
    validation = Rule::new("has(self.spec.name) || size(self.metadata.name) <= 55").message(
        "`metadata.name` must have at most 55 characters, because it becomes the login name: \
         shorten it or set `spec.name`"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.subOrgs) || self.subOrgs.all(sub, sub.org != self.org)")
        .message(
            "`subOrgs` must not name `org` itself: the key acts in its own organization anyway, \
             with `roles`"
        ),
    validation = Rule::new("self.org == oldSelf.org").message(
        "`org` is immutable: delete this ApiKey and create a new one for the other organization"
    ),
    validation = Rule::new(
        "has(self.name) == has(oldSelf.name) && (!has(self.name) || self.name == oldSelf.name)"
    ).message(
        "`name` is immutable and can't be added or removed later: delete this ApiKey and create a \
         new one with the other name"
    ),
    validation = Rule::new(
        "has(self.expiry) == has(oldSelf.expiry) && \
         (!has(self.expiry) || self.expiry == oldSelf.expiry || \
         timestamp(self.expiry) == timestamp(oldSelf.expiry))"
    ).message(
        "`expiry` is immutable and can't be added or removed later: delete this ApiKey and create \
         a new one with the other expiry"
    ),
    validation = Rule::new(
        "(has(self.secret) && has(self.secret.name) ? self.secret.name : '') == \
         (has(oldSelf.secret) && has(oldSelf.secret.name) ? oldSelf.secret.name : '')"
    ).message(
        "`secret.name` is immutable and can't be added or removed later: delete this ApiKey and \
         create a new one that delivers to the other Secret"
    ),
    validation = Rule::new(
        "(has(self.secret) && has(self.secret.keys) && has(self.secret.keys.name) \
         ? self.secret.keys.name : '') == \
         (has(oldSelf.secret) && has(oldSelf.secret.keys) && has(oldSelf.secret.keys.name) \
         ? oldSelf.secret.keys.name : '') && \
         (has(self.secret) && has(self.secret.keys) && has(self.secret.keys.secret) \
         ? self.secret.keys.secret : '') == \
         (has(oldSelf.secret) && has(oldSelf.secret.keys) && has(oldSelf.secret.keys.secret) \
         ? oldSelf.secret.keys.secret : '')"
    ).message(
        "`secret.keys` is immutable and can't be added or removed later, because the operator \
         never reads a secret back: delete this ApiKey and create a new one"
    ),
    validation = Rule::new(
        "(has(self.secret) && has(self.secret.template) && has(self.secret.template.type) \
         ? self.secret.template.type : 'Opaque') == \
         (has(oldSelf.secret) && has(oldSelf.secret.template) && \
         has(oldSelf.secret.template.type) ? oldSelf.secret.template.type : 'Opaque')"
    ).message(
        "`secret.template.type` is immutable, like the type of every Secret: delete this ApiKey \
         and create a new one"
    ),
    validation = Rule::new(
        "(has(self.secret) && has(self.secret.delivery) ? self.secret.delivery : 'Keep') == \
         (has(oldSelf.secret) && has(oldSelf.secret.delivery) ? oldSelf.secret.delivery : 'Keep')"
    ).message(
        "`secret.delivery` is immutable: delete this ApiKey and create a new one with the other \
         delivery"
    ),
    validation = Rule::new(
        "(has(self.secret) && has(self.secret.recipients)) == \
         (has(oldSelf.secret) && has(oldSelf.secret.recipients))"
    ).message(
        "`secret.recipients` can't be added or removed, only changed: whether a secret is delivered \
         encrypted is fixed at creation; delete this ApiKey and create a new one"
    ),
    validation = Rule::new(
        "!(has(self.rotation) && has(self.rotation.everyDays) && has(self.secret) && \
         has(self.secret.delivery) && self.secret.delivery == 'RevealOnce')"
    ).message(
        "`rotation.everyDays` can't be used with `secret.delivery: RevealOnce`, because somebody \
         has to claim each new secret: rotate on request, or use `delivery: Keep`"
    )
)]
pub struct ApiKeySpec {
    /// Login name at the token endpoint: lower-case letters, digits, '-', '_' and '.', at most 55 characters.
    /// Defaults to `metadata.name`. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::login_name")]
    pub name: Option<String>,

    /// Name of the Organization that the key belongs to. Until that Organization exists, the key waits: no
    /// secret is minted for it, and a secret that it already has is refused. Immutable.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub org: String,

    /// What the key may do: role keys from the organization's catalogue, 1 to 64, each once, with at most
    /// 1536 characters in total. A change takes effect with the next token and keeps the secret. With
    /// server-side apply, each role belongs to the field managers that applied it, and it stays until all of
    /// them remove it.
    #[schemars(schema_with = "schema::roles")]
    pub roles: Vec<String>,

    /// Sub-organizations of the key's own organization in which the key may also act, at most 32, each once.
    /// Only the key's own organization decides which namespaces may create the key: `allowedNamespaces` of a
    /// sub-organization does not apply. A sub-organization is ignored if it is not declared, has another
    /// parent, or has none of the roles in its catalogue.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::sub_organizations")]
    pub sub_orgs: Vec<SubOrganization>,

    /// Time from which the key is refused, in RFC 3339 format, for example "2027-05-24T00:00:00Z". Defaults
    /// to the organization's default lifetime, counted from the creation of this object and fixed when the
    /// secret is minted. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::expiry")]
    pub expiry: Option<String>,

    /// Purpose of the key, in a sentence for the people who review keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,

    /// Suspends the key: no token is issued for it until this is false again. Nothing is deleted, and the
    /// expiry stays the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,

    /// The Secret to which the operator delivers the name and the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<DeliveredSecretSpec>,

    /// When the operator rotates the secret, and how long the replaced secret stays accepted. Defaults to
    /// rotation on request only (a new value of the annotation 'apikey-operator.dev/rotate-requested-at'),
    /// with an overlap of one hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationSpec>,

    /// Lifetime and audiences of the tokens that are issued for the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenSpec>,
}

/// The state of the key as the operator last observed it. Programs should read `conditions`; `phase` is a
/// summary for people.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyStatus {
    /// The `metadata.generation` that this status describes; -1 until the operator has observed the object.
    #[serde(default = "schema::never_observed")]
    #[schemars(schema_with = "schema::observed_generation")]
    pub observed_generation: i64,

    /// Summary of the state. 'Pending': no secret has been minted yet. 'Active': a secret was minted and the
    /// key has not expired. 'Expired': the expiry has passed, which is final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::phase")]
    pub phase: Option<Phase>,

    /// Login name at the token endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 55))]
    pub name: Option<String>,

    /// Public id of the key, which is part of its secret. It never changes, even when the secret is rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub key_id: Option<String>,

    /// E-mail address that identifies the key in audit records and tokens. It never changes and receives no
    /// mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 320))]
    pub email: Option<String>,

    /// GUID of the organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36))]
    pub organization_id: Option<String>,

    /// Roles in effect: those of `spec.roles` that are in the organization's catalogue.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::effective_roles")]
    pub roles: Vec<String>,

    /// Time from which the key is refused. It does not change after a secret is minted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_date_time")]
    pub expires_at: Option<Time>,

    /// Number of the delivered secret, starting at 1. Each new secret has a higher number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::revision")]
    pub revision: Option<i64>,

    /// Name of the Secret in this namespace that holds the name and the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub secret_name: Option<String>,

    /// The replaced secret, as long as it is still accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::previous_secret")]
    pub previous_secret: Option<PreviousSecret>,

    /// Time at which the delivered secret replaced an earlier one. Absent for a first secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_date_time")]
    pub rotated_at: Option<Time>,

    /// Time of the next scheduled rotation. Absent if the key has no schedule or expires before then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_date_time")]
    pub next_rotation_at: Option<Time>,

    /// The last value of the annotation 'apikey-operator.dev/rotate-requested-at' that the operator handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub handled_rotate_request: Option<String>,

    /// Time at which the secret was claimed, to the microsecond. Set only with `secret.delivery: RevealOnce`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_date_time")]
    pub revealed_at: Option<MicroTime>,

    /// Last time that a token was issued for the key or the key was checked, accurate to 10 minutes. The
    /// token endpoint writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_date_time")]
    pub last_used_at: Option<Time>,

    /// 'Ready' and 'Delivered' are always present. 'Reconciling', 'Stalled', 'Expired', 'ExpiringSoon' and
    /// 'Suspended' are present only while they are true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}

/// A replaced secret that is still accepted.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PreviousSecret {
    /// Number of the replaced secret.
    pub revision: i64,
    /// Time from which the replaced secret is refused, at the latest the expiry of the key.
    pub valid_until: Time,
}

/// Summary of the state of an `ApiKey`, for people.
#[derive(
    Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord,
)]
pub enum Phase {
    /// No secret has been minted yet.
    Pending,
    /// A secret was minted and the key has not expired.
    Active,
    /// The expiry has passed.
    Expired,
}

impl Phase {
    /// All phases, in the order in which a key passes through them.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Active, Self::Expired];

    /// The phase as the API spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Active => "Active",
            Self::Expired => "Expired",
        }
    }
}

impl ApiKey {
    /// Login name at the token endpoint: `spec.name`, or else `metadata.name`.
    #[must_use]
    pub fn login_name(&self) -> &str {
        self.spec
            .name
            .as_deref()
            .or(self.metadata.name.as_deref())
            .unwrap_or_default()
    }

    /// Name of the delivered Secret: `spec.secret.name`, or else `metadata.name`.
    #[must_use]
    pub fn secret_name(&self) -> &str {
        self.spec
            .secret
            .as_ref()
            .and_then(|secret| secret.name.as_deref())
            .or(self.metadata.name.as_deref())
            .unwrap_or_default()
    }

    /// Whether the secret is revealed only once.
    #[must_use]
    pub fn reveals_once(&self) -> bool {
        let secret = self.spec.secret.as_ref();
        secret.is_some_and(|secret| secret.delivery == Delivery::RevealOnce)
    }

    /// `spec.secret.recipients`. If it is empty, the secret is delivered in clear text.
    #[must_use]
    pub fn recipients(&self) -> &[String] {
        let secret = self.spec.secret.as_ref();
        secret.map_or(&[], |secret| &secret.recipients)
    }

    /// `spec.secret.template`, if it is set.
    #[must_use]
    pub fn secret_template(&self) -> Option<&SecretTemplate> {
        self.spec.secret.as_ref()?.template.as_ref()
    }
}
