//! A value of a file with the line of each field.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

/// The key that merges another map.
const MERGE: &str = "<<";

/// The line of a value.
pub(super) fn line_of<T>(node: &Spanned<T>) -> usize {
    usize::try_from(node.referenced.line()).unwrap_or_default()
}

/// A value with the line of each field in it.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) lines: BTreeMap<String, usize>,
}

impl Node {
    /// Adds the lines of an inner node under its path.
    fn adopt(&mut self, path: &str, line: usize, inner: BTreeMap<String, usize>) {
        self.lines.insert(path.to_owned(), line);
        for (below, line) in inner {
            let dot = if below.starts_with('[') { "" } else { "." };
            self.lines.insert(format!("{path}{dot}{below}"), line);
        }
    }
}

impl From<Value> for Node {
    fn from(value: Value) -> Self {
        Self {
            value,
            ..Self::default()
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

/// Adds the fields of a merge. A field that is already set is an error, because the API server refuses it.
/// This is also the case if the field is set after the merge.
fn merge(values: &mut Map<String, Value>, from: Value) -> Result<(), String> {
    match from {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(name) = set(values, name, value) {
                    return Err(already(&name));
                }
            }
            Ok(())
        }
        Value::Array(items) if items.iter().all(Value::is_object) => {
            items.into_iter().try_for_each(|item| merge(values, item))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(format!("`{MERGE}` must be a map, or a list of maps"))
        }
    }
}

/// Sets a field. Returns its name if it is already set.
fn set(values: &mut Map<String, Value>, name: String, value: Value) -> Option<String> {
    if values.contains_key(&name) {
        return Some(name);
    }
    values.insert(name, value);
    None
}

fn already(name: &str) -> String {
    format!("`{name}` is set twice, by a merge (`{MERGE}`): remove one")
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Value::Null.into())
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Value::from(value).into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Value::from(value).into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Value::from(value).into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Value::from(value).into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Value::from(value).into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut node = Node::default();
        let mut values = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Node>>()? {
            let (line, path) = (line_of(&item), format!("[{}]", values.len()));
            node.adopt(&path, line, item.value.lines);
            values.push(item.value.value);
        }
        node.value = values.into();
        Ok(node)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Node, A::Error> {
        let mut node = Node::default();
        let mut values = Map::new();
        while let Some(key) = fields.next_key::<Spanned<String>>()? {
            let inner: Node = fields.next_value()?;
            if key.value == MERGE {
                merge(&mut values, inner.value).map_err(A::Error::custom)?;
                continue;
            }
            node.adopt(&key.value, line_of(&key), inner.lines);
            if let Some(name) = set(&mut values, key.value, inner.value) {
                return Err(A::Error::custom(already(&name)));
            }
        }
        node.value = values.into();
        Ok(node)
    }
}
