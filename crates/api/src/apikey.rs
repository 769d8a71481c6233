//! `ApiKey`: one API key, in the namespace that uses it.
//!
//! Field comments are the manual that `kubectl explain` prints. The sources are the Kubernetes API
//! conventions and KEP-2876 (validation rules): transition rules stand on the parent, so that they
//! also hold when a field is added or removed.

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

/// What the key is. `name`, `org`, `expiry` and most of `secret` are fixed at creation; `roles`,
/// `subOrgs`, `description`, `suspended`, `rotation`, `token` and the labels and annotations of the
/// template may change at any time without a new secret.
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
           operator mints the secret into a Secret of this namespace and keeps `status` true. \
           Deleting the ApiKey revokes it and removes the Secret.",
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
        "`name` is immutable, adding and removing included: delete this ApiKey and create a new \
         one with the other name"
    ),
    validation = Rule::new(
        "has(self.expiry) == has(oldSelf.expiry) && \
         (!has(self.expiry) || self.expiry == oldSelf.expiry || \
         timestamp(self.expiry) == timestamp(oldSelf.expiry))"
    ).message(
        "`expiry` is immutable, adding and removing included: delete this ApiKey and create a new \
         one with the other expiry"
    ),
    validation = Rule::new(
        "(has(self.secret) && has(self.secret.name) ? self.secret.name : '') == \
         (has(oldSelf.secret) && has(oldSelf.secret.name) ? oldSelf.secret.name : '')"
    ).message(
        "`secret.name` is immutable, adding and removing included: delete this ApiKey and create \
         a new one that delivers to the other Secret"
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
        "`secret.keys` is immutable, adding and removing included, because the operator never \
         reads a secret back to copy it: delete this ApiKey and create a new one"
    ),
    validation = Rule::new(
        "(has(self.secret) && has(self.secret.template) && has(self.secret.template.type) \
         ? self.secret.template.type : 'Opaque') == \
         (has(oldSelf.secret) && has(oldSelf.secret.template) && \
         has(oldSelf.secret.template.type) ? oldSelf.secret.template.type : 'Opaque')"
    ).message(
        "`secret.template.type` is immutable, as the type of every Secret: delete this ApiKey and \
         create a new one"
    ),
    validation = Rule::new(
        "(has(self.secret) && has(self.secret.delivery) ? self.secret.delivery : 'Keep') == \
         (has(oldSelf.secret) && has(oldSelf.secret.delivery) ? oldSelf.secret.delivery : 'Keep')"
    ).message(
        "`secret.delivery` is immutable: delete this ApiKey and create a new one that delivers in \
         the other way"
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
        "`rotation.everyDays` does not go with `secret.delivery: RevealOnce`: somebody has to claim \
         each new secret; rotate on request, or use `delivery: Keep`"
    )
)]
pub struct ApiKeySpec {
    /// Login name at the token endpoint: lower-case letters, digits, '-', '_' and '.', at most 55.
    /// Defaults to `metadata.name`. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::login_name")]
    pub name: Option<String>,

    /// Name of the Organization that the key belongs to. Until it exists the key waits, without a
    /// secret or refused. Immutable.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub org: String,

    /// What the key may do, as keys of the organization's role catalogue: 1 to 64, each once, with at
    /// most 1536 characters together. A change takes effect with the next token; the secret stays. With
    /// server-side apply each role belongs to whoever applied it, and stays until all of them drop it.
    #[schemars(schema_with = "schema::roles")]
    pub roles: Vec<String>,

    /// Sub-organizations of the key's own organization that it may also act in, at most 32, each
    /// once. The root organization answers for this key, so `allowedNamespaces` of a
    /// sub-organization does not apply to it. One that is not declared, has another parent, or has
    /// none of the roles in its catalogue is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::sub_organizations")]
    pub sub_orgs: Vec<SubOrganization>,

    /// Time from which the key is refused, RFC 3339, for example "2027-05-24T00:00:00Z". Omitted:
    /// the organization's default lifetime, counted from the creation of this object and fixed
    /// when the secret is minted. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::expiry")]
    pub expiry: Option<String>,

    /// What the key is for, in a sentence for the people who review keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,

    /// True takes the key out of service without deleting anything: no token is issued for it until
    /// this is false again. The key still expires at its time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,

    /// The Secret that receives the name and the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<DeliveredSecretSpec>,

    /// When the key gets a new secret by itself, and how long the replaced one stays accepted.
    /// Omitted: only on request (annotation 'apikey-operator.dev/rotate-requested-at' with a new
    /// value), with an hour of overlap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationSpec>,

    /// Lifetime and audiences of the key's tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenSpec>,
}

/// What the operator knows of the key. `conditions` are the contract for programs; `phase` is a
/// summary for people.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyStatus {
    /// `metadata.generation` that this status is about; -1 until the operator has seen the object.
    #[serde(default = "schema::never_observed")]
    #[schemars(schema_with = "schema::observed_generation")]
    pub observed_generation: i64,

    /// 'Pending': no secret was minted yet. 'Active': minted and not expired. 'Expired': the expiry
    /// has passed, for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::phase")]
    pub phase: Option<Phase>,

    /// Login name at the token endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 55))]
    pub name: Option<String>,

    /// Public id of the key, part of its secret. It stays for life, through every new secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub key_id: Option<String>,

    /// Address that stands for the key in audit records and tokens. It stays for life and receives
    /// no mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 320))]
    pub email: Option<String>,

    /// GUID of the organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36))]
    pub organization_id: Option<String>,

    /// Roles that the key has now: those of `spec.roles` that are in the organization's catalogue.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::effective_roles")]
    pub roles: Vec<String>,

    /// Time from which the key is refused. It never changes once a secret is minted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_date_time")]
    pub expires_at: Option<Time>,

    /// Number of the secret that is delivered, from 1. Each new secret has a higher one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::revision")]
    pub revision: Option<i64>,

    /// Name of the Secret that holds the name and the secret, in this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub secret_name: Option<String>,

    /// The replaced secret, while it is still accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::previous_secret")]
    pub previous_secret: Option<PreviousSecret>,

    /// When the delivered secret replaced another; never for a first secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_date_time")]
    pub rotated_at: Option<Time>,

    /// When the delivered secret is replaced by schedule. Absent without a schedule, and when the
    /// expiry comes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_date_time")]
    pub next_rotation_at: Option<Time>,

    /// Value of the annotation 'apikey-operator.dev/rotate-requested-at' that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub handled_rotate_request: Option<String>,

    /// When the secret was claimed, to the microsecond. Only with `secret.delivery: RevealOnce`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_date_time")]
    pub revealed_at: Option<MicroTime>,

    /// When a token was last issued for the key or the key was last checked, to within 10 minutes.
    /// Written by the token endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_date_time")]
    pub last_used_at: Option<Time>,

    /// 'Ready' and 'Delivered' are always there; 'Reconciling', 'Stalled', 'Expired',
    /// 'ExpiringSoon' and 'Suspended' only while they hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}

/// A replaced secret that is still accepted.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PreviousSecret {
    /// Its number.
    pub revision: i64,
    /// Time from which it is refused; never after the expiry of the key.
    pub valid_until: Time,
}

/// Summary of an `ApiKey` for people.
#[derive(
    Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord,
)]
pub enum Phase {
    /// No secret was minted yet.
    Pending,
    /// A secret was minted and the key has not expired.
    Active,
    /// The expiry has passed.
    Expired,
}

impl Phase {
    /// All phases, in the order of a life.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Active, Self::Expired];

    /// The word in the API.
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
    /// Login name at the token endpoint: `spec.name`, else `metadata.name`.
    #[must_use]
    pub fn login_name(&self) -> &str {
        self.spec
            .name
            .as_deref()
            .or(self.metadata.name.as_deref())
            .unwrap_or_default()
    }

    /// Name of the delivered Secret: `spec.secret.name`, else `metadata.name`.
    #[must_use]
    pub fn secret_name(&self) -> &str {
        self.spec
            .secret
            .as_ref()
            .and_then(|secret| secret.name.as_deref())
            .or(self.metadata.name.as_deref())
            .unwrap_or_default()
    }

    /// Whether the secret is shown once.
    #[must_use]
    pub fn reveals_once(&self) -> bool {
        let secret = self.spec.secret.as_ref();
        secret.is_some_and(|secret| secret.delivery == Delivery::RevealOnce)
    }

    /// `spec.secret.recipients`; empty: the secret is delivered in clear.
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
