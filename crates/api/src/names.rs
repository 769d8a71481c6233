//! Names that are visible outside the process: API group, labels, annotations, field managers, data keys.
//!
//! Each name is defined only here.

use std::collections::BTreeMap;

use super::documented::documented;

/// API group of both kinds, and the prefix of the operator's labels and annotations.
pub const GROUP: &str = "apikey-operator.dev";
/// The only API version.
pub const VERSION: &str = "v1alpha1";

/// Field manager of everything that the controller writes, except what [`TEMPLATE_FIELD_MANAGER`] owns.
pub const FIELD_MANAGER: &str = "apikey-operator";
/// Field manager of the parts of a delivered Secret that change without a new secret: the labels and
/// annotations of `spec.secret.template`, and the address of the token endpoint.
///
/// It is separate because server-side apply removes fields that their manager no longer sends. With one
/// manager, a change of the template would have to send the secret value too, which the operator never reads
/// back.
pub const TEMPLATE_FIELD_MANAGER: &str = "apikey-operator-template";
/// Field manager of `status.lastUsedAt`, which the token server writes.
pub const LAST_USED_FIELD_MANAGER: &str = "apikey-operator-last-used";
/// `reportingController` of the operator's Events.
pub const EVENT_REPORTER: &str = "apikey-operator.dev/controller";

documented! {
    /// The labels with their documentation.
    pub const LABELS;

    /// Recommended label: the program that manages the object.
    pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
    /// Recommended label: the purpose of the object.
    pub const LABEL_COMPONENT: &str = "app.kubernetes.io/component";
    /// Label of delivered Secrets and credential records: the public id of the key.
    pub const LABEL_KEY_ID: &str = "apikey-operator.dev/key-id";
}

/// Value of [`LABEL_MANAGED_BY`] on all Secrets of the operator.
pub const MANAGED_BY: &str = "apikey-operator";
/// Value of [`LABEL_COMPONENT`] on delivered Secrets.
pub const COMPONENT_API_KEY: &str = "api-key";
/// Value of [`LABEL_COMPONENT`] on the Secrets that hold credential records.
pub const COMPONENT_VERIFIER: &str = "verifier";
/// Value of [`LABEL_COMPONENT`] on key rings.
pub const COMPONENT_KEY_RING: &str = "key-ring";

documented! {
    /// The annotations with their documentation.
    pub const ANNOTATIONS;

    /// Annotation of a delivered Secret: number of the secret that it holds, starting at 1.
    pub const ANNOTATION_REVISION: &str = "apikey-operator.dev/revision";
    /// Annotation of a delivered Secret: time from which the key is refused (RFC 3339).
    pub const ANNOTATION_EXPIRES_AT: &str = "apikey-operator.dev/expires-at";
    /// Annotation of a delivered Secret: entry of the credential record that its value belongs to.
    pub const ANNOTATION_VERIFIER: &str = "apikey-operator.dev/verifier";
    /// Annotation of a delivered Secret: digest of the `spec.secret.template` that was applied last.
    pub const ANNOTATION_TEMPLATE: &str = "apikey-operator.dev/template";

    /// Annotation of a delivered Secret under `RevealOnce`: time at which the secret was claimed (RFC 3339).
    /// The client that sets it with a conditional write has claimed the secret, and nobody else gets it.
    pub const ANNOTATION_REVEALED_AT: &str = "apikey-operator.dev/revealed-at";

    /// Annotation of an `ApiKey`: requests one new secret for each new value. The value is any text, usually
    /// the current time.
    pub const ANNOTATION_ROTATE_REQUESTED_AT: &str = "apikey-operator.dev/rotate-requested-at";
    /// Annotation of an `ApiKey`: overlap in seconds for requested rotations, which overrides
    /// `spec.rotation.overlapSeconds`. It applies to every request until it is removed, unless
    /// `rotate-overlap-for` limits it to one request.
    pub const ANNOTATION_ROTATE_OVERLAP_SECONDS: &str = "apikey-operator.dev/rotate-overlap-seconds";
    /// Annotation of an `ApiKey`: the value of `rotate-requested-at` to which `rotate-overlap-seconds`
    /// applies. Other requests use the overlap of the spec.
    pub const ANNOTATION_ROTATE_OVERLAP_FOR: &str = "apikey-operator.dev/rotate-overlap-for";
    /// Annotation of an `ApiKey`: number of the replaced secret that the token endpoint refuses from now on.
    pub const ANNOTATION_DISCARD_PREVIOUS: &str = "apikey-operator.dev/discard-previous";

    /// Annotation of the Secret that holds a credential record: namespace and name of the `ApiKey`, separated
    /// by `/`. It is readable even if the credential record is not.
    pub const ANNOTATION_OWNER: &str = "apikey-operator.dev/owner";
}

/// `type` of the Secret that holds a credential record.
pub const VERIFIER_SECRET_TYPE: &str = "apikey-operator.dev/verifier";
/// Data key of the credential record in its Secret.
pub const VERIFIER_DATA_KEY: &str = "verifier.json";
/// `type` of a key ring Secret.
pub const KEY_RING_SECRET_TYPE: &str = "apikey-operator.dev/key-ring";
/// Data key of the ring in a key ring Secret.
pub const KEY_RING_DATA_KEY: &str = "ring.json";
/// Name of the Secret that holds the pepper ring, in the operator's namespace.
pub const PEPPERS_SECRET: &str = "apikey-operator-peppers";
/// Name of the Secret that holds the ring of signing keys, in the operator's namespace.
pub const SIGNING_KEYS_SECRET: &str = "apikey-operator-signing-keys";
/// Name of the Lease that elects the controller that may write.
pub const CONTROLLER_LEASE: &str = "apikey-operator-controller";

/// Data keys of a delivered Secret.
pub mod data {
    use super::documented;

    documented! {
        /// The data keys with their documentation.
        pub const ALL;

        /// Login name at the token endpoint.
        pub const NAME: &str = "name";
        /// The secret, in its published format.
        pub const SECRET: &str = "secret";
        /// The secret as an armored age file. It replaces `secret` if the key has recipients.
        pub const SECRET_AGE: &str = "secret.age";
        /// Public id of the key.
        pub const KEY_ID: &str = "key-id";
        /// GUID of the organization.
        pub const ORGANIZATION_ID: &str = "organization-id";
        /// Public address of the token endpoint.
        pub const TOKEN_URL: &str = "token-url";
    }
}

const RECORD_PREFIX: &str = "apikey-";

/// Name of the Secret that holds the credential record of the `ApiKey` with this uid.
#[must_use]
pub fn record_secret(apikey_uid: &str) -> String {
    format!("{RECORD_PREFIX}{apikey_uid}")
}

/// The uid of the `ApiKey` whose credential record is in the Secret of this name.
#[must_use]
pub fn record_owner_uid(secret_name: &str) -> Option<&str> {
    secret_name.strip_prefix(RECORD_PREFIX)
}

/// Whether an object has all of these labels with these values.
#[must_use]
pub fn are_set(
    wanted: impl IntoIterator<Item = (&'static str, &'static str)>,
    labels: Option<&BTreeMap<String, String>>,
) -> bool {
    let is_set = |(label, value)| {
        labels
            .and_then(|all| all.get(label))
            .is_some_and(|found| found == value)
    };
    wanted.into_iter().all(is_set)
}

/// Label selector for the operator's Secrets with this component.
#[must_use]
pub fn component_selector(component: &str) -> String {
    format!("{LABEL_MANAGED_BY}={MANAGED_BY},{LABEL_COMPONENT}={component}")
}
