//! Validates an object against a structural schema as the API server does. It supports only the keywords that
//! this project's definitions use. Pure.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::{Map, Number, Value};

use crate::nearest::nearest;

/// The path of a field and what is wrong there.
pub(super) type Violation = (String, String);

/// Removes fields that are `null` and converts numbers without a fraction to integers, where the schema has
/// fields and integers. The API server does the same before validation.
pub(super) fn normalize(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let inner = |name: &str| of_field(schema, name);
            fields.retain(|name, value| !value.is_null() || inner(name).is_none());
            for (name, value) in fields {
                if let Some(inner) = inner(name) {
                    normalize(inner, value);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                normalize(&schema["items"], item);
            }
        }
        Value::Number(number) if schema["type"] == "integer" => {
            if let Some(whole) = whole(number) {
                *value = whole.into();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Converts a floating-point number without a fraction to an integer. Numbers beyond the exact range also
/// exceed all bounds, so they are not converted.
fn whole(number: &Number) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let float = number.as_f64().filter(|_| number.is_f64())?;
    let is_whole = float.fract() == 0.0 && float.abs() <= EXACT;
    is_whole
        .then(|| format!("{float:.0}").parse().ok())
        .flatten()
}

fn of_field<'a>(schema: &'a Value, field: &str) -> Option<&'a Value> {
    let named = schema["properties"].get(field);
    named.or_else(|| schema.get("additionalProperties"))
}

/// Finds the fields at this path and below that are not in the schema.
pub(super) fn unknown(schema: &Value, value: &Value, path: &str, found: &mut Vec<Violation>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let at = at(path, field);
                if let Some(inner) = of_field(schema, field) {
                    unknown(inner, value, &at, found);
                } else if schema["properties"].is_object() {
                    found.push((at, no_field(field, &schema["properties"])));
                }
            }
        }
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                unknown(&schema["items"], item, &format!("{path}[{place}]"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn at(path: &str, field: &str) -> String {
    if path.is_empty() {
        field.to_owned()
    } else {
        format!("{path}.{field}")
    }
}

/// Validates the value at this path, except for unknown fields.
pub(super) fn check(schema: &Value, value: &Value, path: &str, found: &mut Vec<Violation>) {
    let Some(kind) = schema["type"].as_str() else {
        return;
    };
    let mut report = |message: String| found.push((path.to_owned(), message));
    match (kind, value) {
        ("object", Value::Object(fields)) => object(schema, fields, path, found),
        ("array", Value::Array(items)) => array(schema, items, path, found),
        ("string", Value::String(text)) => string(schema, text).into_iter().for_each(report),
        ("integer", Value::Number(number)) if number.is_i64() => {
            let number = number.as_f64().unwrap_or(f64::MAX);
            integer(schema, number).into_iter().for_each(report);
        }
        ("boolean", Value::Bool(_)) => {}
        _ => report(wrong_type(kind, value)),
    }
}

fn wrong_type(kind: &str, value: &Value) -> String {
    let article = if "aeiou".contains(&kind[..1]) {
        "an"
    } else {
        "a"
    };
    let fix = match (kind, value) {
        ("string", Value::Bool(_) | Value::Number(_)) => ": put it in quotes",
        ("array", _) => ": write a list",
        _ => "",
    };
    format!("{value} must be {article} {kind}{fix}")
}

fn object(schema: &Value, fields: &Map<String, Value>, path: &str, found: &mut Vec<Violation>) {
    for field in schema["required"].as_array().into_iter().flatten() {
        let field = field.as_str().unwrap_or_default();
        if !fields.contains_key(field) {
            found.push((at(path, field), "is required: set it".to_owned()));
        }
    }
    let bounds = (fields.len(), "entries");
    let counted = count(schema, bounds, "minProperties", "maxProperties");
    found.extend(counted.map(|message| (path.to_owned(), message)));
    for (field, value) in fields {
        if let Some(inner) = of_field(schema, field) {
            check(inner, value, &at(path, field), found);
        }
    }
}

fn no_field(field: &str, known: &Value) -> String {
    let names: Vec<_> = known.as_object().into_iter().flat_map(Map::keys).collect();
    if let Some(name) = nearest(field, names.iter().map(|name| name.as_str())) {
        return format!("is not a field: do you mean `{name}`?");
    }
    let names: Vec<_> = names.iter().map(|name| name.as_str()).collect();
    format!("is not a field: the fields are {}", names.join(", "))
}

fn array(schema: &Value, items: &[Value], path: &str, found: &mut Vec<Violation>) {
    let bounds = (items.len(), "items");
    let counted = count(schema, bounds, "minItems", "maxItems");
    found.extend(counted.map(|message| (path.to_owned(), message)));
    let mut seen = BTreeSet::new();
    for (place, item) in items.iter().enumerate() {
        let at = format!("{path}[{place}]");
        check(&schema["items"], item, &at, found);
        let identity = match schema["x-kubernetes-list-type"].as_str() {
            Some("set") => item.to_string(),
            Some("map") => {
                let keys = schema["x-kubernetes-list-map-keys"].as_array();
                let keys = keys.into_iter().flatten().filter_map(Value::as_str);
                keys.map(|key| item[key].to_string()).collect()
            }
            _ => continue,
        };
        if !seen.insert(identity.clone()) {
            found.push((at, format!("{identity} appears twice: remove one")));
        }
    }
}

fn string(schema: &Value, text: &str) -> Vec<String> {
    let chars = (text.chars().count(), "characters");
    let mut messages: Vec<_> = count(schema, chars, "minLength", "maxLength").collect();
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.iter().any(|one| one.as_str() == Some(text))
    {
        let allowed: Vec<_> = allowed.iter().filter_map(Value::as_str).collect();
        messages.push(format!("'{text}' must be one of {}", allowed.join(", ")));
    }
    if let Some(pattern) = schema["pattern"].as_str()
        && Regex::new(pattern).is_ok_and(|pattern| !pattern.is_match(text))
    {
        messages.push(format!("'{text}' must match {pattern}"));
    }
    messages
}

/// Checks the bounds of an integer, which are floating-point numbers in a definition.
fn integer(schema: &Value, number: f64) -> Option<String> {
    let (least, most) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
    let outside =
        least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most);
    outside.then(|| {
        let least = least.map_or(String::new(), |least| format!("at least {least}"));
        let most = most.map_or(String::new(), |most| format!("at most {most}"));
        let both = if least.is_empty() || most.is_empty() {
            ""
        } else {
            " and "
        };
        format!("{number} must be {least}{both}{most}")
    })
}

fn count<'a>(
    schema: &'a Value,
    (number, what): (usize, &'a str),
    least: &str,
    most: &str,
) -> impl Iterator<Item = String> + use<'a> {
    let bound = |key: &str| schema[key].as_u64().and_then(|n| usize::try_from(n).ok());
    let too_few = bound(least)
        .filter(|least| number < *least)
        .map(|least| format!("has {number} {what}, must have at least {least}"));
    let too_many = bound(most)
        .filter(|most| number > *most)
        .map(|most| format!("has {number} {what}, must have at most {most}"));
    too_few.into_iter().chain(too_many)
}
