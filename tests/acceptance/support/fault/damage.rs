//! Objects of which a part can't be read. Pure.

use serde_json::{Value, json};

use super::Object;

/// More than a JSON reader that recurses takes, and the API server stores it.
const DEEP: usize = 200;

/// Which part of an object can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Damage {
    /// `managedFields`, which nobody needs.
    ManagedFields,
    /// Fields of the status, which is never an authority.
    Status,
    /// What the object is about: a spec, the data of a verifier, the labels of what is known by its metadata
    /// alone.
    Needed,
}

impl Damage {
    /// Whether the object is only read again once it has changed.
    pub(super) fn is_felt(self) -> bool {
        self != Self::ManagedFields
    }

    /// Damages an object; whether it has such a part.
    pub(super) fn apply(self, object: Object, value: &mut Value) -> bool {
        let has_status = matches!(object, Object::ApiKey | Object::Organization);
        match self {
            Self::ManagedFields => {
                value["metadata"]["managedFields"] = json!([{
                    "manager": "x", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
                    "time": "9999-12-31T23:59:59Z", "fieldsV1": nested(),
                }]);
            }
            Self::Status if !has_status => return false,
            Self::Status => {
                value["status"]["phase"] = json!("OfANewerVersion");
                value["status"]["observedGeneration"] = json!("seven");
                value["status"]["rotatedAt"] = json!("2026-01-01T00:00:00+99:99");
            }
            Self::Needed => {
                let part = match object {
                    Object::Verifier => &mut value["data"],
                    Object::Delivered => &mut value["metadata"]["labels"],
                    Object::ApiKey | Object::Organization | Object::Event => &mut value["spec"],
                };
                *part = json!(7);
            }
        }
        true
    }
}

fn nested() -> Value {
    (0..DEEP).fold(json!({}), |inner, _| json!({ "f:x": inner }))
}
