//! Hand-written parts of the CRD schemas that a derive can't express, such as list types and item bounds.
//!
//! Every string and list is bounded. This keeps validation rules within the cost budget of the API server
//! (KEP-2876), and it keeps a hostile object small. Integers have no `uint` format, because API servers warn
//! about it.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::bounds::{
    MAX_ANNOTATIONS_CHARS, MAX_AUDIENCE_CHARS, MAX_AUDIENCES, MAX_AUDIENCES_CHARS, MAX_ROLE_CHARS,
    MAX_ROLES, MAX_ROLES_CHARS, MAX_SUB_ORG_ROLES, MAX_TOKEN_TTL_SECONDS,
};
use super::expiry;

mod status;

pub(super) use status::{
    conditions, effective_roles, key_count, never_observed, observed_generation,
    optional_date_time, phase, previous_secret, revision,
};

const LABEL_KEY_MAX_CHARS: u32 = 317;

pub(super) fn max_keys(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int64", "minimum": 0, "maximum": 1_000_000})
}

/// At most a hundred years, so that the sum of a time and a lifetime always fits into a timestamp.
pub(super) fn lifetime_days(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int32", "minimum": 1, "maximum": 36_525})
}

pub(super) fn token_ttl_seconds(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "integer",
        "format": "int32",
        "minimum": 60,
        "maximum": MAX_TOKEN_TTL_SECONDS,
    })
}

pub(super) fn rotation_days(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int32", "minimum": 1, "maximum": 3650})
}

pub(super) fn overlap_seconds(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int32", "minimum": 0, "maximum": 7_776_000})
}

pub(super) fn reveal_within_seconds(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int32", "minimum": 60, "maximum": 2_592_000})
}

pub(super) fn delivery(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": ["Keep", "RevealOnce"]})
}

/// X25519 recipients of age: Bech32 of 32 bytes. The operator verifies the checksum.
pub(super) fn recipients(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 16,
        "x-kubernetes-list-type": "set",
        "items": {
            "type": "string",
            "maxLength": 62,
            "pattern": "^age1[ac-hj-np-z02-9]{58}$",
        },
    })
}

/// The schema has no `format`, because rules would then see a time instead of the text. A stored value that
/// rules can't parse, from before the pattern existed, would then fail every rule and every write.
pub(super) fn expiry(_: &mut SchemaGenerator) -> Schema {
    let (form, late) = (expiry::BadExpiry::Form, expiry::BadExpiry::TooLate);
    json_schema!({
        "type": "string",
        "maxLength": 64,
        "x-kubernetes-validations": [
            {"rule": format!("self.matches('{}')", expiry::PATTERN), "message": format!("`expiry` {form}")},
            {
                "rule": format!(
                    "!self.matches('{}') || timestamp(self) < timestamp('{}')",
                    expiry::PATTERN, expiry::END
                ),
                "message": format!("`expiry` {late}"),
            },
        ],
    })
}

pub(super) fn optional_guid(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 36,
        "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
    })
}

fn role_key() -> Value {
    json!({
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_ROLE_CHARS,
        "pattern": "^[A-Za-z0-9]([A-Za-z0-9._:-]*[A-Za-z0-9])?$",
    })
}

pub(super) fn roles(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": MAX_ROLES,
        "x-kubernetes-list-type": "set",
        "items": role_key(),
        "x-kubernetes-validations": [together(
            "roles",
            MAX_ROLES_CHARS,
            "use shorter names, or give some of the roles to another key",
        )],
    })
}

/// Limits the total length of the texts of a list. Each of them goes into a token, and gateways and servers
/// limit the length of a token. The rule is on the list itself, so that other fields of an object that was
/// stored earlier can still change (KEP-4008).
fn together(field: &str, max_chars: u32, fix: &str) -> Value {
    json!({
        "rule": format!("self.map(text, size(text)).sum() <= {max_chars}"),
        "message": format!(
            "`{field}` must have at most {max_chars} characters in total, because a token must fit \
             into an HTTP header: {fix}"
        ),
    })
}

pub(super) fn sub_organizations(generator: &mut SchemaGenerator) -> Schema {
    let mut roles = roles(generator);
    roles.insert(
        "description".to_owned(),
        "What the key may do there: role keys from the catalogue of that organization (of its \
         parent, if it has none), 1 to 64, each once. Defaults to `spec.roles`."
            .into(),
    );
    let mut org = dns_label();
    org["description"] = "Name of the sub-organization.".into();
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["org"],
        "items": {
            "type": "object",
            "required": ["org"],
            "properties": {"org": org, "roles": roles},
        },
        "x-kubernetes-validations": [{
            "rule": format!(
                "self.map(sub, has(sub.roles) ? size(sub.roles) : 0).sum() <= {MAX_SUB_ORG_ROLES}"
            ),
            "message": format!(
                "`subOrgs` must have at most {MAX_SUB_ORG_ROLES} roles in total: leave out `roles` \
                 where `spec.roles` is enough, or create several keys"
            ),
        }],
    })
}

fn dns_label() -> Value {
    json!({
        "type": "string",
        "minLength": 1,
        "maxLength": 63,
        "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
    })
}

pub(super) fn token_audiences(_: &mut SchemaGenerator) -> Schema {
    let mut audiences = audience_list(MAX_AUDIENCES);
    // The pattern also excludes `"` and `\`: JSON escapes them, and no URI contains them.
    audiences.insert(
        "items".to_owned(),
        json!({
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_AUDIENCE_CHARS,
            "pattern": r"^[!#-\[\]-~]+$",
        }),
    );
    audiences.insert(
        "x-kubernetes-validations".to_owned(),
        json!([together(
            "token.audiences",
            MAX_AUDIENCES_CHARS,
            "use fewer or shorter audiences",
        )]),
    );
    audiences
}

pub(super) fn audiences(_: &mut SchemaGenerator) -> Schema {
    audience_list(64)
}

pub(super) fn owners(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "set",
        "items": {
            "type": "string",
            "minLength": 1,
            "maxLength": 253,
            // Owners are printed in a message of one line.
            "pattern": r"^[^\x00-\x1f\x7f]+$",
        },
    })
}

/// Printable ASCII without spaces, which covers every `StringOrURI` that is used in practice.
fn audience_list(max: u32) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": max,
        "x-kubernetes-list-type": "set",
        "items": {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_AUDIENCE_CHARS,
            "pattern": "^[!-~]+$",
        },
    })
}

pub(super) fn role_catalogue(_: &mut SchemaGenerator) -> Schema {
    let mut key = role_key();
    key["description"] =
        "The role as keys and tokens name it, for example \"build-operator\".".into();
    json_schema!({
        "type": "array",
        "maxItems": 256,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["key"],
        "items": {
            "type": "object",
            "required": ["key"],
            "properties": {
                "key": key,
                "description": {
                    "description": "What the role allows, for the people who grant it.",
                    "type": "string",
                    "maxLength": 1024,
                },
            },
        },
    })
}

pub(super) fn namespace_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 256,
        "x-kubernetes-list-type": "set",
        "items": dns_label(),
    })
}

fn string_map(max_value_chars: u32) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": {"type": "string", "maxLength": max_value_chars},
    })
}

/// A label or annotation key: an optional prefix, which is a DNS subdomain of at most 253 characters, and a
/// name of at most 63.
const QUALIFIED_NAME: &str = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?\
    [A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$";

/// The rule that the keys of a map are qualified names.
fn qualified_keys(field: &str) -> Value {
    json!({
        "rule": format!(
            "self.all(k, k.matches('{QUALIFIED_NAME}') && k.matches('^([^/]{{1,253}}/)?[^/]{{1,63}}$'))"
        ),
        "message": format!(
            "`{field}` must have keys like 'team' or 'example.com/team': at most 63 letters, digits, '-', \
             '_' and '.' after an optional DNS name and '/'"
        ),
    })
}

pub(super) fn template_labels(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = labels(generator);
    let rules = json!([qualified_keys("template.labels")]);
    schema.insert("x-kubernetes-validations".to_owned(), rules);
    schema
}

pub(super) fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": {
            "type": "string",
            "maxLength": 63,
            "pattern": "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$",
        },
    })
}

pub(super) fn match_labels(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = labels(generator);
    schema.insert("minProperties".to_owned(), 1.into());
    schema
}

/// The total length is bounded too, because the controller holds the annotations of every key in memory.
pub(super) fn template_annotations(_: &mut SchemaGenerator) -> Schema {
    let mut schema = string_map(4096);
    let together = json!({
        "rule": format!("self.map(k, size(k) + size(self[k])).sum() <= {MAX_ANNOTATIONS_CHARS}"),
        "message": format!(
            "`template.annotations` must have at most {MAX_ANNOTATIONS_CHARS} characters in total, \
             including keys: remove some, or shorten them"
        ),
    });
    let rules = json!([qualified_keys("template.annotations"), together]);
    schema.insert("x-kubernetes-validations".to_owned(), rules);
    schema
}

pub(super) fn login_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 55,
        "pattern": "^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$",
        "x-kubernetes-validations": [{
            "rule": "!self.contains('..')",
            "message": "`name` must not contain '..', because it becomes part of an e-mail address",
        }],
    })
}

/// A data key of a Secret.
pub(super) fn data_key(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 253,
        "pattern": "^[-._a-zA-Z0-9]+$",
        "x-kubernetes-validations": [{
            "rule": "self != '.' && !self.startsWith('..')",
            "message": "must not be '.' or begin with '..', because a Secret can't have such a \
                        data key",
        }],
    })
}

pub(super) fn match_expressions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 32,
        "x-kubernetes-list-type": "atomic",
        "items": {
            "type": "object",
            "required": ["key", "operator"],
            "properties": {
                "key": {
                    "description": "Label key.",
                    "type": "string",
                    "minLength": 1,
                    "maxLength": LABEL_KEY_MAX_CHARS,
                },
                "operator": {
                    "description": "How the label relates to `values`.",
                    "type": "string",
                    "enum": ["In", "NotIn", "Exists", "DoesNotExist"],
                },
                "values": {
                    "description": "At least one for 'In' and 'NotIn', none otherwise.",
                    "type": "array",
                    "maxItems": 64,
                    "x-kubernetes-list-type": "atomic",
                    "items": {"type": "string", "maxLength": 63},
                },
            },
            "x-kubernetes-validations": [{
                "rule": "(self.operator in ['In', 'NotIn']) == \
                         (has(self.values) && size(self.values) > 0)",
                "message": "`values` must be set for 'In' and 'NotIn', and only then",
            }],
        },
    })
}
