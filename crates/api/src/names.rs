//! Every name that leaves the process: API group, labels, annotations, field managers, Secret keys.
//!
//! Pure constants. A name used in two places is written here once.

use std::collections::BTreeMap;

use super::documented::documented;

/// API group of all our kinds and the prefix of our labels and annotations.
pub const GROUP: &str = "apikey-operator.dev";
/// The only API version.
pub const VERSION: &str = "v1alpha1";

/// Field manager of everything the controller writes, except [`TEMPLATE_FIELD_MANAGER`].
pub const FIELD_MANAGER: &str = "apikey-operator";
/// Field manager of what stands beside the value of a delivered Secret: the labels and annotations of
/// `spec.secret.template`, and the address of the token endpoint.
///
/// It is separate because server-side apply drops fields that an applier no longer sends: a change
/// of these must not need the secret value, which the operator never reads back.
pub const TEMPLATE_FIELD_MANAGER: &str = "apikey-operator-template";
/// Field manager of `status.lastUsedAt`, which the token server writes.
pub const LAST_USED_FIELD_MANAGER: &str = "apikey-operator-last-used";
/// `reportingController` of our Events.
pub const EVENT_REPORTER: &str = "apikey-operator.dev/controller";

documented! {
    /// The labels, each with its documentation.
    pub const LABELS;

    /// Recommended label: which program manages the object.
    pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
    /// Recommended label: what the object is for.
    pub const LABEL_COMPONENT: &str = "app.kubernetes.io/component";
    /// Label with the public key id, on delivered Secrets and verifiers.
    pub const LABEL_KEY_ID: &str = "apikey-operator.dev/key-id";
}

/// Value of [`LABEL_MANAGED_BY`] on all our Secrets.
pub const MANAGED_BY: &str = "apikey-operator";
/// Value of [`LABEL_COMPONENT`] on delivered Secrets.
pub const COMPONENT_API_KEY: &str = "api-key";
/// Value of [`LABEL_COMPONENT`] on verifiers.
pub const COMPONENT_VERIFIER: &str = "verifier";
/// Value of [`LABEL_COMPONENT`] on key rings.
pub const COMPONENT_KEY_RING: &str = "key-ring";

documented! {
    /// The annotations, each with its documentation.
    pub const ANNOTATIONS;

    /// Annotation of a delivered Secret: number of the secret it holds, from 1.
    pub const ANNOTATION_REVISION: &str = "apikey-operator.dev/revision";
    /// Annotation of a delivered Secret: RFC 3339 time from which the key is refused.
    pub const ANNOTATION_EXPIRES_AT: &str = "apikey-operator.dev/expires-at";
    /// Annotation of a delivered Secret: which verifier entry its value belongs to.
    pub const ANNOTATION_VERIFIER: &str = "apikey-operator.dev/verifier";
    /// Annotation of a delivered Secret: digest of the `spec.secret.template` applied last.
    pub const ANNOTATION_TEMPLATE: &str = "apikey-operator.dev/template";

    /// Annotation of a delivered Secret under `RevealOnce`: when it was claimed (RFC 3339). Whoever sets it
    /// by a conditional write has the secret, and nobody else gets it.
    pub const ANNOTATION_REVEALED_AT: &str = "apikey-operator.dev/revealed-at";

    /// Annotation of an `ApiKey`: asks for one new secret per value. Any text; the time of day is usual.
    pub const ANNOTATION_ROTATE_REQUESTED_AT: &str = "apikey-operator.dev/rotate-requested-at";
    /// Annotation of an `ApiKey`: how long the secret that a request replaces stays accepted, in seconds,
    /// in place of `spec.rotation.overlapSeconds`. For every request while it stands, unless `rotate-overlap-for`
    /// names one.
    pub const ANNOTATION_ROTATE_OVERLAP_SECONDS: &str = "apikey-operator.dev/rotate-overlap-seconds";
    /// Annotation of an `ApiKey`: value of `rotate-requested-at` that `rotate-overlap-seconds` is for. Another
    /// request has the overlap of the spec.
    pub const ANNOTATION_ROTATE_OVERLAP_FOR: &str = "apikey-operator.dev/rotate-overlap-for";
    /// Annotation of an `ApiKey`: number of the replaced secret that is to be refused from now on.
    pub const ANNOTATION_DISCARD_PREVIOUS: &str = "apikey-operator.dev/discard-previous";

    /// Annotation of a verifier: namespace and name of its `ApiKey`, separated by `/`. Readable where the
    /// document is not.
    pub const ANNOTATION_OWNER: &str = "apikey-operator.dev/owner";
}

/// `type` of a verifier Secret.
pub const VERIFIER_SECRET_TYPE: &str = "apikey-operator.dev/verifier";
/// Data key of the document in a verifier Secret.
pub const VERIFIER_DATA_KEY: &str = "verifier.json";
/// `type` of a key ring Secret.
pub const KEY_RING_SECRET_TYPE: &str = "apikey-operator.dev/key-ring";
/// Data key of the document in a key ring Secret.
pub const KEY_RING_DATA_KEY: &str = "ring.json";
/// Name of the Secret with the pepper ring, in the operator's namespace.
pub const PEPPERS_SECRET: &str = "apikey-operator-peppers";
/// Name of the Secret with the ring of signing keys, in the operator's namespace.
pub const SIGNING_KEYS_SECRET: &str = "apikey-operator-signing-keys";
/// Name of the Lease that elects the controller that writes.
pub const CONTROLLER_LEASE: &str = "apikey-operator-controller";

/// Data keys of a delivered Secret.
pub mod data {
    use super::documented;

    documented! {
        /// The data keys, each with its documentation.
        pub const ALL;

        /// Login name at the token endpoint.
        pub const NAME: &str = "name";
        /// The secret, in the published format.
        pub const SECRET: &str = "secret";
        /// The secret as an armored age file, in place of `secret` where the key has recipients.
        pub const SECRET_AGE: &str = "secret.age";
        /// Public id of the key.
        pub const KEY_ID: &str = "key-id";
        /// GUID of the organization.
        pub const ORGANIZATION_ID: &str = "organization-id";
        /// Public address of the token endpoint.
        pub const TOKEN_URL: &str = "token-url";
    }
}

const VERIFIER_PREFIX: &str = "apikey-";

/// Name of the verifier Secret of the `ApiKey` with this uid.
#[must_use]
pub fn verifier_secret(apikey_uid: &str) -> String {
    format!("{VERIFIER_PREFIX}{apikey_uid}")
}

/// uid of the `ApiKey` that the verifier Secret of this name belongs to.
#[must_use]
pub fn verifier_owner_uid(secret_name: &str) -> Option<&str> {
    secret_name.strip_prefix(VERIFIER_PREFIX)
}

/// Whether an object has each of these labels with its value.
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

/// Label selector for the Secrets of ours with this component.
#[must_use]
pub fn component_selector(component: &str) -> String {
    format!("{LABEL_MANAGED_BY}={MANAGED_BY},{LABEL_COMPONENT}={component}")
}
