//! Checks `apiVersion` and `metadata`, which a CRD schema leaves to the API server. Pure.

use serde_json::{Map, Value, json};

use super::schema::{self, Violation};
use apikey_api::{expiry, names};

/// Maximum length of `generateName` that is kept, to which five random characters are added.
const GENERATED_CHARS: usize = 58;
/// Maximum total size of annotations, with keys and values, in bytes.
const MAX_ANNOTATIONS_BYTES: usize = 256 * 1024;

/// The schema of `metadata`, as the API server applies it.
pub(super) fn schema() -> Value {
    let (text, number, time) = (
        json!({"type": "string"}),
        json!({"type": "integer"}),
        json!({"type": "string", "pattern": expiry::PATTERN}),
    );
    let flag = json!({"type": "boolean"});
    let texts = json!({"type": "object", "additionalProperties": text});
    let name = json!({"type": "string", "minLength": 1});
    let owner = json!({
        "type": "object",
        "required": ["apiVersion", "kind", "name", "uid"],
        "properties": {
            "apiVersion": name, "kind": name, "name": name, "uid": name,
            "controller": flag, "blockOwnerDeletion": flag,
        },
    });
    let writer = json!({
        "type": "object",
        "properties": {
            "manager": text, "operation": text, "apiVersion": text, "time": time,
            "fieldsType": text, "fieldsV1": {"type": "object"}, "subresource": text,
        },
    });
    json!({
        "type": "object",
        "properties": {
            "name": text, "generateName": text, "namespace": text, "selfLink": text, "uid": text,
            "resourceVersion": text, "generation": number, "creationTimestamp": time,
            "deletionTimestamp": time, "deletionGracePeriodSeconds": number,
            "labels": texts, "annotations": texts,
            "ownerReferences": {"type": "array", "items": owner},
            "finalizers": {"type": "array", "items": text},
            "managedFields": {"type": "array", "items": writer},
        },
    })
}

/// Checks version and metadata.
pub(super) fn check(schema: &Value, value: &Value) -> Vec<Violation> {
    let mut found = Vec::new();
    let version = format!("{}/{}", names::GROUP, names::VERSION);
    if value["apiVersion"] != version.as_str() {
        let message = format!("{} must be {version}", value["apiVersion"]);
        found.push(("apiVersion".to_owned(), message));
    }
    let metadata = &value["metadata"];
    if !metadata.is_null() {
        schema::unknown(schema, metadata, "metadata", &mut found);
        schema::check(schema, metadata, "metadata", &mut found);
    }
    found.extend(bad_name(metadata));
    for (key, value) in entries(&metadata["labels"]) {
        let at = format!("metadata.labels.{key}");
        if !is_qualified(key) {
            found.push((at.clone(), bad_key(key)));
        }
        if value.as_str().is_some_and(|text| !is_label(text)) {
            let message = format!(
                "{value} must be at most 63 letters, digits, '-', '_' and '.', with a letter or digit at \
                 both ends"
            );
            found.push((at, message));
        }
    }
    let mut bytes = 0;
    for (key, value) in entries(&metadata["annotations"]) {
        bytes += key.len() + value.as_str().map_or(0, str::len);
        if !is_qualified(&key.to_lowercase()) {
            found.push((format!("metadata.annotations.{key}"), bad_key(key)));
        }
    }
    if bytes > MAX_ANNOTATIONS_BYTES {
        let message = format!("has {bytes} bytes, must have at most {MAX_ANNOTATIONS_BYTES}");
        found.push(("metadata.annotations".to_owned(), message));
    }
    let finalizers = metadata["finalizers"].as_array().into_iter().flatten();
    for (place, finalizer) in finalizers.enumerate() {
        if finalizer.as_str().is_some_and(|name| !is_qualified(name)) {
            let name = finalizer.as_str().unwrap_or_default();
            found.push((format!("metadata.finalizers[{place}]"), bad_key(name)));
        }
    }
    found
}

/// Adds a placeholder of the same length to an object with a generated name.
pub(super) fn with_name(value: &mut Value) {
    let metadata = &value["metadata"];
    let has_name = metadata["name"]
        .as_str()
        .is_some_and(|name| !name.is_empty());
    if !has_name && let Some(begin) = metadata["generateName"].as_str() {
        let begin: String = begin.chars().take(GENERATED_CHARS).collect();
        value["metadata"]["name"] = json!(format!("{begin}xxxxx"));
    }
}

fn entries(map: &Value) -> impl Iterator<Item = (&String, &Value)> {
    map.as_object().into_iter().flat_map(Map::iter)
}

fn bad_name(metadata: &Value) -> Vec<Violation> {
    let text = |field: &str| metadata[field].as_str().filter(|text| !text.is_empty());
    let bad = |field: &str, name: &str| {
        let message = format!(
            "'{name}' must be lower-case letters, digits, '-' and '.', with a letter or digit at both ends"
        );
        (format!("metadata.{field}"), message)
    };
    let mut found = Vec::new();
    let (name, begin) = (text("name"), text("generateName"));
    if let Some(name) = name.filter(|name| !is_subdomain(name)) {
        found.push(bad("name", name));
    }
    if let Some(begin) = begin.filter(|begin| !is_subdomain(&masked(begin))) {
        found.push(bad("generateName", begin));
    }
    let is_typed = |field: &str| matches!(metadata[field], Value::Null | Value::String(_));
    if name.or(begin).is_none() && is_typed("name") && is_typed("generateName") {
        found.push(("metadata.name".to_owned(), "is required: set it".into()));
    }
    found
}

/// A name prefix in a form that can be checked as a name, because a prefix may end in characters that a name
/// may not end in.
fn masked(begin: &str) -> String {
    match begin.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => format!("{rest}a"),
        _ => begin.to_owned(),
    }
}

fn bad_key(key: &str) -> String {
    format!(
        "'{key}' must be like 'team' or 'example.com/team': at most 63 letters, digits, '-', '_' and '.' \
         after an optional DNS name and '/'"
    )
}

/// Whether the text is a qualified name.
fn is_qualified(key: &str) -> bool {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    prefix.is_none_or(is_subdomain) && !name.is_empty() && is_label(name)
}

/// Whether the text is a label value.
fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let ends = [text.bytes().next(), text.bytes().last()];
    text.len() <= 63
        && text.bytes().all(inner)
        && ends
            .into_iter()
            .flatten()
            .all(|byte| byte.is_ascii_alphanumeric())
}

/// Whether the text is an RFC 1123 subdomain, as the API server requires of names.
fn is_subdomain(name: &str) -> bool {
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(inner)
    };
    name.len() <= 253 && name.split('.').all(label)
}
