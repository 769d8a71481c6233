//! Renders a kind: its description, a table for each object in it, and its validation rules. Pure.

use anyhow::{Context as _, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionSpec, CustomResourceDefinitionVersion,
    JSONSchemaProps,
};

use super::field::{self, body, code};

/// The text of a kind, without its heading.
pub(super) fn render(definition: &CustomResourceDefinition) -> Result<String> {
    let CustomResourceDefinitionSpec {
        names, versions, ..
    } = &definition.spec;
    let [version] = &versions[..] else {
        anyhow::bail!("it has {} versions, and the page shows one", versions.len());
    };
    let validation = version.schema.as_ref();
    let schema = validation.and_then(|validation| validation.open_api_v3_schema.as_ref());
    let schema = schema.context("it has no schema")?;
    let mut text = format!("{}\n\n", schema.description.as_deref().unwrap_or_default());
    text += &head(&definition.spec, version);
    text += &rules(schema);
    for (name, part) in schema.properties.iter().flatten() {
        text += &section(&names.kind, name, part);
    }
    Ok(text)
}

/// The names of the kind and its columns.
fn head(spec: &CustomResourceDefinitionSpec, version: &CustomResourceDefinitionVersion) -> String {
    let names = &spec.names;
    let row = |title: &str, text: String| format!("| {title} | {text} |\n");
    let called = [Some(&names.plural), names.singular.as_ref()];
    let called = called.into_iter().flatten();
    let called = called.chain(names.short_names.iter().flatten());
    let name = std::iter::once("metadata.name");
    let namespace = (spec.scope == "Namespaced").then_some("metadata.namespace");
    let selectable = version.selectable_fields.iter().flatten();
    let selectable = selectable.map(|field| field.json_path.trim_start_matches('.'));
    let status = version.subresources.as_ref().map(|subresources| {
        let status = subresources.status.as_ref().map(|_| "status");
        let scale = subresources.scale.as_ref().map(|_| "scale");
        codes(scale.into_iter().chain(status))
    });
    [
        "| | |\n| --- | --- |\n".to_owned(),
        row(
            "`apiVersion`",
            code(&format!("{}/{}", spec.group, version.name)),
        ),
        row("Scope", spec.scope.to_lowercase()),
        row(
            "Names",
            format!(
                "{}; category {}",
                codes(called),
                codes(names.categories.iter().flatten())
            ),
        ),
        row(
            "Columns",
            format!(
                "{}; with `-o wide` also {}",
                columns(version, |priority| priority == 0),
                columns(version, |priority| priority > 0)
            ),
        ),
        row(
            "`--field-selector`",
            codes(name.chain(namespace).chain(selectable)),
        ),
        row("Subresources", status.unwrap_or_default()),
    ]
    .concat()
}

fn codes(words: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let words = words.into_iter().map(|word| code(word.as_ref()));
    words.collect::<Vec<_>>().join(", ")
}

/// Titles of the columns with a matching priority, as kubectl prints them.
fn columns(version: &CustomResourceDefinitionVersion, shown: impl Fn(i32) -> bool) -> String {
    let columns = version.additional_printer_columns.iter().flatten();
    let columns = columns.filter(|column| shown(column.priority.unwrap_or_default()));
    let titles = columns.map(|column| column.name.to_uppercase());
    titles.collect::<Vec<_>>().join(", ")
}

/// The section of an object at this path, and of the objects in it.
fn section(kind: &str, path: &str, schema: &JSONSchemaProps) -> String {
    let description = schema.description.as_deref().unwrap_or_default();
    let object = body(schema);
    let mut text = format!(
        "\n### {kind}: `{path}`\n\n{description}\n\n\
         | Field | Type and limits | Default | What |\n| --- | --- | --- | --- |\n"
    );
    let required = object.required.as_deref().unwrap_or_default();
    for (name, field) in object.properties.iter().flatten() {
        text += &field::row(name, field, required.contains(name));
    }
    text += &rules(object);
    for (name, field) in object.properties.iter().flatten() {
        if body(field).properties.is_some() {
            let each = if field.items.is_some() { "[]" } else { "" };
            text += &section(kind, &format!("{path}.{name}{each}"), field);
        }
    }
    text
}

/// The messages of the validation rules.
fn rules(schema: &JSONSchemaProps) -> String {
    let rules = schema.x_kubernetes_validations.iter().flatten();
    let messages = rules.filter_map(|rule| rule.message.as_ref());
    let items: Vec<_> = messages.map(|message| format!("- {message}\n")).collect();
    if items.is_empty() {
        return String::new();
    }
    format!("\nRefused by the API server:\n\n{}", items.concat())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_in_an_object_has_a_section() {
        let schema = json!({
            "description": "What the key is.",
            "required": ["roles"],
            "properties": {
                "roles": {
                    "type": "array",
                    "description": "Its roles.",
                    "items": {"properties": {"key": {"type": "string"}}},
                },
                "name": {"type": "string", "description": "Its name."},
            },
            "x-kubernetes-validations": [{"rule": "false", "message": "`name` is wrong"}],
        });
        assert_eq!(
            section("ApiKey", "spec", &serde_json::from_value(schema).unwrap()),
            "
### ApiKey: `spec`

What the key is.

| Field | Type and limits | Default | What |
| --- | --- | --- | --- |
| `name` | string |  | Its name. |
| `roles`<br>required | list of objects |  | Its roles. |

Refused by the API server:

- `name` is wrong

### ApiKey: `spec.roles[]`

Its roles.

| Field | Type and limits | Default | What |
| --- | --- | --- | --- |
| `key` | string |  | . |
"
        );
    }
}
