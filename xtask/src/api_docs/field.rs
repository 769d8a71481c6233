//! Renders a field as a table row: type, limits, default and description. Pure.

use std::fmt::Display;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

/// The row of a field.
pub(super) fn row(name: &str, schema: &JSONSchemaProps, required: bool) -> String {
    let description = Description::parse(schema.description.as_deref().unwrap_or_default());
    let marks = [(required, "required"), (description.immutable, "immutable")];
    let marks: Vec<_> = marks.iter().filter(|(set, _)| *set).map(|m| m.1).collect();
    let line_break = if marks.is_empty() { "" } else { "<br>" };
    let mut limits = vec![type_of(schema)];
    limits.extend(limits_of(schema));
    let default = match &schema.default {
        Some(default) => code(&default.0.to_string()),
        None => cell(description.default.unwrap_or_default()),
    };
    format!(
        "| `{name}`{line_break}{} | {} | {default} | {} |\n",
        marks.join(", "),
        limits.join("; "),
        cell(&description.what),
    )
}

/// The schema of an object, or of the objects in a list.
pub(super) fn body(schema: &JSONSchemaProps) -> &JSONSchemaProps {
    items(schema).unwrap_or(schema)
}

fn items(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match schema.items.as_ref()? {
        JSONSchemaPropsOrArray::Schema(items) => Some(items),
        JSONSchemaPropsOrArray::Schemas(_) => None,
    }
}

/// The schema of the values of a map.
fn entries(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match schema.additional_properties.as_ref()? {
        JSONSchemaPropsOrBool::Schema(entries) => Some(entries),
        JSONSchemaPropsOrBool::Bool(_) => None,
    }
}

fn is_string(schema: &JSONSchemaProps) -> bool {
    schema.type_.as_deref() == Some("string")
}

fn is_time(schema: &JSONSchemaProps) -> bool {
    schema.format.as_deref() == Some("date-time")
}

fn type_of(schema: &JSONSchemaProps) -> String {
    if let Some(items) = items(schema) {
        let of = match items {
            items if items.properties.is_some() => " of objects",
            items if is_string(items) => " of strings",
            _ => "",
        };
        let keys = schema.x_kubernetes_list_map_keys.iter().flatten();
        let unique = match schema.x_kubernetes_list_type.as_deref() {
            Some("set") => ", each once".to_owned(),
            Some("map") => {
                let keys: Vec<_> = keys.map(|key| code(key)).collect();
                format!(", one for each {}", keys.join(", "))
            }
            _ => String::new(),
        };
        format!("list{of}{unique}")
    } else if entries(schema).is_some() {
        "map of strings".to_owned()
    } else if is_time(schema) {
        "time, RFC 3339".to_owned()
    } else {
        schema.type_.clone().unwrap_or_default()
    }
}

fn limits_of(schema: &JSONSchemaProps) -> Vec<String> {
    let each = items(schema)
        .filter(|items| is_string(items))
        .or_else(|| entries(schema));
    let each = each.map(|each| limits_of_text(each).join("; "));
    let each = each.filter(|limits| !limits.is_empty());
    [
        range(schema.minimum, schema.maximum, ""),
        range(schema.min_items, schema.max_items, " entries"),
        range(schema.min_properties, schema.max_properties, " entries"),
    ]
    .into_iter()
    .flatten()
    .chain(limits_of_text(schema))
    .chain(each.map(|limits| format!("each {limits}")))
    .collect()
}

fn limits_of_text(schema: &JSONSchemaProps) -> Vec<String> {
    let values = schema.enum_.as_ref().map(|values| {
        let values = values
            .iter()
            .map(|value| code(value.0.as_str().unwrap_or_default()));
        values.collect::<Vec<_>>().join(", ")
    });
    let length = range(schema.min_length, schema.max_length, " characters");
    let length = length.filter(|_| !is_time(schema));
    let pattern = schema.pattern.as_deref().map(code);
    [values, length, pattern].into_iter().flatten().collect()
}

fn range<N: Display>(least: Option<N>, most: Option<N>, unit: &str) -> Option<String> {
    match (least, most) {
        (Some(least), Some(most)) => Some(format!("{least} to {most}{unit}")),
        (None, Some(most)) => Some(format!("at most {most}{unit}")),
        (Some(least), None) => Some(format!("at least {least}{unit}")),
        (None, None) => None,
    }
}

/// Escapes text for a table cell.
pub(super) fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

/// Formats code for a table cell.
pub(super) fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

/// A description, without the sentences that have their own column or mark.
#[derive(Debug, PartialEq, Eq)]
struct Description<'a> {
    what: String,
    default: Option<&'a str>,
    immutable: bool,
}

impl<'a> Description<'a> {
    fn parse(text: &'a str) -> Self {
        let mut what = Vec::new();
        let mut default = None;
        let mut immutable = false;
        for sentence in text.trim_end_matches(['.', ' ']).split(". ") {
            let of_default = ["Defaults to ", "Default ", "Omitted: "]
                .iter()
                .find_map(|beginning| sentence.strip_prefix(beginning));
            if sentence == "Immutable" {
                immutable = true;
            } else if let Some(found) = of_default {
                default = default.or(Some(found));
            } else {
                what.push(sentence);
            }
        }
        Self {
            what: what.join(". ") + ".",
            default,
            immutable,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn row_of(schema: Value) -> String {
        row("field", &serde_json::from_value(schema).unwrap(), false)
    }

    #[test]
    fn sentences_about_the_default_and_immutability_are_taken_out() {
        let description = |what: &str, default, immutable| Description {
            what: what.to_owned(),
            default,
            immutable,
        };
        for (text, expected) in [
            ("The name.", description("The name.", None, false)),
            (
                "The name. Default `metadata.name`. Immutable.",
                description("The name.", Some("`metadata.name`"), true),
            ),
            (
                "Immutable. The life, 1.5 days. Omitted: no limit. At most 9.",
                description("The life, 1.5 days. At most 9.", Some("no limit"), true),
            ),
            (
                "Defaults to 'Opaque'.",
                description(".", Some("'Opaque'"), false),
            ),
        ] {
            assert_eq!(Description::parse(text), expected);
        }
    }

    #[test]
    fn a_field_has_its_type_and_limits() {
        for (schema, expected) in [
            (
                json!({"type": "integer", "minimum": 1, "maximum": 3650, "default": 7}),
                "integer; 1 to 3650 | `7`",
            ),
            (
                json!({"type": "integer", "minimum": -1}),
                "integer; at least -1 | ",
            ),
            (
                json!({"type": "string", "enum": ["A", "B"]}),
                "string; `A`, `B` | ",
            ),
            (
                json!({"type": "string", "maxLength": 9, "pattern": "^(a|b)$"}),
                "string; at most 9 characters; `^(a\\|b)$` | ",
            ),
            (
                json!({"type": "string", "format": "date-time", "maxLength": 64}),
                "time, RFC 3339 | ",
            ),
            (
                json!({
                    "type": "array", "maxItems": 4, "x-kubernetes-list-type": "set",
                    "items": {"type": "string", "maxLength": 9},
                }),
                "list of strings, each once; at most 4 entries; each at most 9 characters | ",
            ),
            (
                json!({
                    "type": "array", "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["org"], "items": {"properties": {}},
                }),
                "list of objects, one for each `org` | ",
            ),
            (
                json!({
                    "type": "object", "maxProperties": 4,
                    "additionalProperties": {"type": "string", "maxLength": 9},
                }),
                "map of strings; at most 4 entries; each at most 9 characters | ",
            ),
        ] {
            assert_eq!(row_of(schema), format!("| `field` | {expected} | . |\n"));
        }
    }

    #[test]
    fn a_field_is_marked() {
        let schema = json!({"type": "string", "description": "It. Immutable."});
        assert_eq!(
            row("field", &serde_json::from_value(schema).unwrap(), true),
            "| `field`<br>required, immutable | string |  | It. |\n"
        );
    }
}
