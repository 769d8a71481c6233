//! Schemas of the fields of a status.

use schemars::{Schema, SchemaGenerator, json_schema};

/// `observedGeneration` of an object that no controller has observed. kstatus then reports `InProgress`.
pub(crate) const fn never_observed() -> i64 {
    -1
}

pub(crate) fn observed_generation(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int64", "minimum": -1})
}

pub(crate) fn revision(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int64", "minimum": 1})
}

pub(crate) fn key_count(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int64", "minimum": 0})
}

pub(crate) fn optional_date_time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time", "maxLength": 64})
}

pub(crate) fn phase(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": ["Pending", "Active", "Expired"]})
}

pub(crate) fn effective_roles(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 64,
        "x-kubernetes-list-type": "set",
        "items": {"type": "string", "maxLength": 63},
    })
}

pub(crate) fn previous_secret(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "required": ["revision", "validUntil"],
        "properties": {
            "revision": {
                "description": "Number of the replaced secret.",
                "type": "integer",
                "format": "int64",
                "minimum": 1,
            },
            "validUntil": {
                "description": "Time from which the replaced secret is refused, at the latest the \
                                expiry of the key.",
                "type": "string",
                "format": "date-time",
            },
        },
    })
}

/// `metav1.Condition`, with its own bounds (Kubernetes API conventions, "Typical status
/// properties").
pub(crate) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "type": {
                    "description": "What the condition is about, in CamelCase.",
                    "type": "string",
                    "maxLength": 316,
                },
                "status": {
                    "description": "'True', 'False' or 'Unknown'.",
                    "type": "string",
                    "enum": ["True", "False", "Unknown"],
                },
                "observedGeneration": {
                    "description": "`metadata.generation` that the condition is about.",
                    "type": "integer",
                    "format": "int64",
                    "minimum": 0,
                },
                "lastTransitionTime": {
                    "description": "When `status` last changed.",
                    "type": "string",
                    "format": "date-time",
                },
                "reason": {
                    "description": "Why, as one fixed word for programs.",
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                },
                "message": {
                    "description": "Why, and what to do, for people.",
                    "type": "string",
                    "maxLength": 32768,
                },
            },
        },
    })
}
