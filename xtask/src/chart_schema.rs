//! Checks that `values.schema.json` and `values.yaml` of the chart have the same values.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{chart_values, output};

const SCHEMA: &str = "charts/apikey-operator/values.schema.json";
/// Values that Helm itself reads, or passes from a parent chart.
const OF_HELM: [&str; 3] = ["enabled", "global", "tags"];

/// Fails if one of the files has a value that the other does not have.
pub(crate) fn check(root: &Path) -> Result<()> {
    let values = chart_values::parse(&output::read(root, chart_values::PATH)?)?;
    let names = values.into_iter().map(|value| value.name).collect();
    let schema = serde_json::from_str(&output::read(root, SCHEMA)?).context(SCHEMA)?;
    let differences = differences(&schema, &names);
    if differences.is_empty() {
        return Ok(());
    }
    bail!(differences.join("\n"))
}

/// Describes each difference in a sentence.
fn differences(schema: &Value, values: &BTreeSet<String>) -> Vec<String> {
    let mut walk = Walk {
        root: schema,
        values,
        known: BTreeSet::new(),
        unknown: Vec::new(),
    };
    walk.section(schema, "");
    let Walk { known, unknown, .. } = walk;
    let not_in_values = unknown
        .into_iter()
        .map(|name| format!("{name} is in {SCHEMA}, but not in {}", chart_values::PATH));
    let not_in_schema = values
        .difference(&known)
        .map(|name| format!("{name} is in {}, but not in {SCHEMA}", chart_values::PATH));
    not_in_values.chain(not_in_schema).collect()
}

struct Walk<'a> {
    root: &'a Value,
    /// The names in `values.yaml`.
    values: &'a BTreeSet<String>,
    /// Names in `values.yaml` that the schema has.
    known: BTreeSet<String>,
    /// Names in the schema that `values.yaml` does not have.
    unknown: Vec<String>,
}

impl<'a> Walk<'a> {
    /// Visits each property of a section, or of the whole file if the name is empty.
    fn section(&mut self, schema: &'a Value, name: &str) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            match name {
                "" if OF_HELM.contains(&key.as_str()) => {}
                "" => self.value(property, key.clone()),
                _ => self.value(property, format!("{name}.{key}")),
            }
        }
    }

    fn value(&mut self, schema: &'a Value, name: String) {
        let schema = self.resolve(schema);
        if self.values.contains(&name) {
            self.known.insert(name);
        } else if schema["additionalProperties"] == false && schema["properties"].is_object() {
            self.section(schema, &name);
        } else {
            self.unknown.push(name);
        }
    }

    /// The definition that a schema refers to.
    fn resolve(&self, schema: &'a Value) -> &'a Value {
        let reference = schema["$ref"].as_str();
        let pointer = reference.and_then(|reference| reference.strip_prefix('#'));
        pointer
            .and_then(|pointer| self.root.pointer(pointer))
            .unwrap_or(schema)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_that_one_file_lacks_is_reported() {
        let schema = json!({
            "properties": {
                "global": {},
                "pods": {"$ref": "#/definitions/pods"},
                "resources": {"additionalProperties": false, "properties": {"limits": {}}},
            },
            "definitions": {
                "pods": {"additionalProperties": false, "properties": {"replicas": {}, "labels": {}}},
            },
        });
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let both = names(&["pods.labels", "pods.replicas", "resources"]);
        assert_eq!(differences(&schema, &both), [""; 0]);
        let found = differences(
            &schema,
            &names(&["pods.replica", "pods.labels", "resources"]),
        );
        assert_eq!(
            found,
            [
                format!(
                    "pods.replicas is in {SCHEMA}, but not in {}",
                    chart_values::PATH
                ),
                format!(
                    "pods.replica is in {}, but not in {SCHEMA}",
                    chart_values::PATH
                ),
            ]
        );
    }
}
