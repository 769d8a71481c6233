//! The objects of the hostile tenant: objects that only the API server can read, and large ones.

use serde_json::{Value, json};

use crate::common::cluster::ORGANIZATION;
use crate::raw;

const API_VERSION: &str = "apikey-operator.dev/v1alpha1";
const KEYS: &str = "/apis/apikey-operator.dev/v1alpha1/namespaces/hostile/apikeys";
const SECRETS: &str = "/api/v1/namespaces/hostile/secrets";
/// The size of a large object, and of large annotations. The API server accepts 256 KiB of annotations. Unit:
/// bytes.
const LARGE: usize = 1_000_000;
const ANNOTATIONS: usize = 250_000;
/// A nesting that the API server stores and that recursive JSON readers refuse.
const DEEP: usize = 200;
/// An invalid time.
const NO_TIME: &str = "2026-01-01T00:00:00+99:99";

/// A kind of hostile object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    ManagedFields,
    Status,
    Secret,
    Finalizers,
    Annotations,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [
        Self::ManagedFields,
        Self::Status,
        Self::Secret,
        Self::Finalizers,
        Self::Annotations,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ManagedFields => "ApiKeys with managedFields that only the API server can read",
            Self::Status => "statuses that can't be read",
            Self::Secret => "Secrets with managedFields that only the API server can read",
            Self::Finalizers => "ApiKeys with 1 MB of finalizers",
            Self::Annotations => "ApiKeys with 250 KB of annotations",
        }
    }

    /// A text that shows that the object was stored as it was sent.
    pub(crate) fn mark(self) -> String {
        match self {
            Self::ManagedFields | Self::Secret => "9999-12-31T23:59:59Z".into(),
            Self::Status => NO_TIME.into(),
            Self::Finalizers => "example.com/00".into(),
            Self::Annotations => "x".repeat(ANNOTATIONS),
        }
    }

    pub(crate) fn object_name(self, n: usize) -> String {
        format!("{self:?}-{n}").to_lowercase()
    }

    /// The path of the collection.
    pub(crate) const fn collection(self) -> &'static str {
        match self {
            Self::Secret => SECRETS,
            Self::ManagedFields | Self::Status | Self::Finalizers | Self::Annotations => KEYS,
        }
    }

    pub(crate) fn object(self, n: usize) -> Value {
        let name = self.object_name(n);
        if self == Self::Secret {
            let labels = raw::delivered_labels();
            return json!({ "metadata": { "name": name, "labels": labels } });
        }
        json!({
            "apiVersion": API_VERSION, "kind": "ApiKey", "metadata": { "name": name },
            "spec": { "org": ORGANIZATION, "roles": ["viewer"] },
        })
    }

    /// The merge patch for such an object.
    pub(crate) fn change(self, turn: usize) -> Value {
        let touched = json!({ "example.com/touched": turn.to_string() });
        match self {
            Self::ManagedFields => json!({ "metadata": {
                "annotations": touched, "managedFields": raw::managed_fields(API_VERSION, &nested()),
            }}),
            Self::Secret => json!({ "metadata": {
                "annotations": touched, "managedFields": raw::managed_fields("v1", &nested()),
            }}),
            Self::Status => json!({ "status": { "rotatedAt": NO_TIME } }),
            Self::Finalizers => json!({ "metadata": {
                "annotations": touched, "finalizers": raw::finalizers(LARGE),
            }}),
            Self::Annotations => json!({ "metadata": { "annotations": {
                "example.com/touched": turn.to_string(), "example.com/x": "x".repeat(ANNOTATIONS),
            }}}),
        }
    }
}

fn nested() -> Value {
    (0..DEEP).fold(json!({}), |inner, _| json!({ "f:x": inner }))
}
