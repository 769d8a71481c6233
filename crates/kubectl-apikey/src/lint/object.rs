//! Checks one object by itself: schema, validation rules, expiry. Pure.

use k8s_openapi::jiff::Timestamp;
use kube_cel::{CompiledSchema, ErrorKind, Validator, compile_schema};
use serde_json::{Value, json};

use super::problem::Problem;
use super::read::{Document, Kind};
use super::{metadata, schema};
use crate::exit::Failure;
use apikey_api::{ApiKey, Organization, crds, expiry};
use apikey_credential::sealed::Recipients;

/// Fields of an object that may be `null`.
const KNOWN: [&str; 3] = ["metadata", "spec", "status"];

/// Checks objects against the definitions that are built into this program.
pub(super) struct Checker {
    apikey: Definition,
    organization: Definition,
    validator: Validator,
}

struct Definition {
    schema: Value,
    metadata: Value,
    rules: CompiledSchema,
}

impl Definition {
    fn new(schema: Result<Value, crds::Error>) -> Result<Self, Failure> {
        let mut schema = schema.map_err(|error| Failure::failed(error.to_string()))?;
        // The API server has its own rules for these fields.
        schema["properties"]["apiVersion"] = json!({"type": "string"});
        schema["properties"]["kind"] = json!({"type": "string"});
        schema["properties"]["metadata"] = json!({"type": "object"});
        let rules = compile_schema(&schema);
        let metadata = metadata::schema();
        Ok(Self {
            schema,
            metadata,
            rules,
        })
    }
}

impl Checker {
    pub(super) fn new() -> Result<Self, Failure> {
        Ok(Self {
            apikey: Definition::new(crds::schema::<ApiKey>())?,
            organization: Definition::new(crds::schema::<Organization>())?,
            validator: Validator::new(),
        })
    }

    /// Normalizes the object as the API server does: removes fields that are `null`, and converts numbers
    /// without a fraction to integers.
    pub(super) fn normalize(&self, document: &mut Document) {
        let definition = self.of(document.kind);
        for (name, value) in document.value.as_object_mut().into_iter().flatten() {
            let schema = match name.as_str() {
                "metadata" => &definition.metadata,
                _ => &definition.schema["properties"][name],
            };
            schema::normalize(schema, value);
        }
        if let Value::Object(fields) = &mut document.value {
            fields.retain(|name, value| !value.is_null() || !KNOWN.contains(&name.as_str()));
        }
    }

    fn of(&self, kind: Kind) -> &Definition {
        match kind {
            Kind::ApiKey => &self.apikey,
            Kind::Organization => &self.organization,
        }
    }

    /// Checks a normalized object.
    pub(super) fn check(&self, document: &Document, now: Timestamp) -> Vec<Problem> {
        let found = self.findings(document.kind, document.value.clone(), now);
        let problems = found.into_iter();
        problems
            .map(|(field, message)| document.problem(&field, message))
            .collect()
    }

    /// Checks an object that is not in a file, and returns pairs of field and message.
    pub(super) fn findings(
        &self,
        kind: Kind,
        mut value: Value,
        now: Timestamp,
    ) -> Vec<schema::Violation> {
        let definition = self.of(kind);
        let mut found = metadata::check(&definition.metadata, &value);
        schema::unknown(&definition.schema, &value, "", &mut found);
        if let Value::Object(fields) = &mut value {
            // The API server ignores the status in a file.
            fields.remove("status");
        }
        schema::check(&definition.schema, &value, "", &mut found);
        metadata::with_name(&mut value);
        if found.is_empty() && kind == Kind::ApiKey {
            found.extend(bad_expiry(&value));
        }
        if found.is_empty() {
            found = self.rules(definition, &value);
        }
        if found.is_empty() && kind == Kind::ApiKey {
            found.extend(passed(&value, now));
            found.extend(mistyped_recipient(&value));
        }
        found
    }

    /// Evaluates the validation rules of the definition, except transition rules.
    fn rules(&self, definition: &Definition, value: &Value) -> Vec<schema::Violation> {
        let broken = self
            .validator
            .validate_compiled(&definition.rules, value, None);
        let broken = broken
            .err()
            .into_iter()
            .flat_map(kube_cel::ValidationErrors::into_vec);
        broken
            .map(|error| {
                let message = if error.kind == ErrorKind::ValidationFailure {
                    error.message
                } else {
                    format!("a rule can't be checked here: {}", error.message)
                };
                (error.field_path, message)
            })
            .collect()
    }
}

/// Reports an invalid expiry without the value in the message. The definition refuses it too.
fn bad_expiry(value: &Value) -> Option<schema::Violation> {
    let text = value.pointer("/spec/expiry")?.as_str()?;
    let bad = expiry::parse(text).err()?;
    Some(("spec.expiry".to_owned(), format!("'{text}' {bad}")))
}

/// Reports a recipient with a wrong checksum, which the schema can't detect.
fn mistyped_recipient(value: &Value) -> Option<schema::Violation> {
    let listed = value.pointer("/spec/secret/recipients")?.as_array()?;
    let texts = listed.iter().filter_map(Value::as_str).map(str::to_owned);
    let bad = Recipients::parse(&texts.collect::<Vec<_>>()).err()?;
    Some(("spec.secret.recipients".to_owned(), bad.to_string()))
}

fn passed(value: &Value, now: Timestamp) -> Option<schema::Violation> {
    let expiry = value.pointer("/spec/expiry").and_then(Value::as_str);
    let end = apikey_policy::spec_expiry(expiry).ok().flatten()?;
    (end <= now).then(|| {
        let message = format!("{end} is in the past, so the key gets no secret: use a future time");
        ("spec.expiry".to_owned(), message)
    })
}

#[cfg(test)]
mod tests {
    use super::super::read::Files;
    use super::*;

    const HEAD: &str = "apiVersion: apikey-operator.dev/v1alpha1\n";

    fn findings(yaml: &str) -> Vec<String> {
        let mut files = Files::default();
        files.add("f", &format!("{HEAD}{yaml}"));
        assert!(files.problems.is_empty(), "{files:?}");
        let now = "2026-11-24T10:00:00Z".parse().unwrap();
        let checker = Checker::new().unwrap();
        let mut documents = files.documents;
        for document in &mut documents {
            checker.normalize(document);
        }
        let problems = documents.iter().flat_map(|d| checker.check(d, now));
        problems.map(|problem| problem.to_string()).collect()
    }

    #[test]
    fn problems_name_line_object_field_value_and_fix() {
        for (yaml, expected) in [
            (
                "kind: ApiKey\nmetadata: {name: ci}\nspec: {org: acme, role: [a]}",
                "f:4: apikey/ci: spec.role: is not a field: do you mean `roles`?",
            ),
            (
                "kind: ApiKey\nmetadata: {name: ci}\nspec: {org: acme}",
                "f:4: apikey/ci: spec.roles: is required: set it",
            ),
            (
                "kind: ApiKey\nmetadata: {name: ci}\nspec:\n  org: A\n  roles: [a]",
                "f:5: apikey/ci: spec.org: 'A' must match ^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
            ),
            (
                "kind: ApiKey\nmetadata: {name: ci}\nspec:\n  org: acme\n  roles:\n  - a\n  - a",
                "f:8: apikey/ci: spec.roles[1]: \"a\" appears twice: remove one",
            ),
            (
                "kind: ApiKey\nmetadata: {name: on}\nspec: {org: acme, roles: [a]}",
                "f:3: apikey/: metadata.name: true must be a string: put it in quotes",
            ),
            (
                "kind: ApiKey\nmetadata: {name: ci}\nspec: {org: a, roles: [a], expiry: soon}",
                "f:4: apikey/ci: spec.expiry: 'soon' is not a time: use RFC 3339, for example \
                 '2027-05-24T00:00:00Z'",
            ),
            (
                "kind: ApiKey\nmetadata: {name: ci}\nspec: {org: a, roles: [a], token: \
                 {ttlSeconds: 5}}",
                "f:4: apikey/ci: spec.token.ttlSeconds: 5 must be at least 60 and at most 86400",
            ),
        ] {
            let all = findings(yaml);
            assert!(all.iter().any(|one| one == expected), "{expected}\n{all:?}");
        }
    }

    #[test]
    fn the_rules_of_the_definitions_are_evaluated() {
        for (spec, part) in [
            (
                "org: a, roles: [r], subOrgs: [{org: a}]",
                "must not name `org` itself",
            ),
            (
                "org: a, roles: [r], secret: {keys: {name: secret}}",
                "already has these data keys",
            ),
            (
                "org: a, roles: [r], rotation: {everyDays: 1, overlapSeconds: 90000}",
                "must not exceed `everyDays`",
            ),
            (
                "org: a, roles: [r], rotation: {everyDays: 1}, secret: {delivery: RevealOnce}",
                "can't be used with",
            ),
            (
                "org: a, roles: [r], expiry: '2020-01-01T00:00:00Z'",
                "is in the past",
            ),
        ] {
            let yaml = format!("kind: ApiKey\nmetadata: {{name: ci}}\nspec: {{{spec}}}");
            let all = findings(&yaml);
            assert_eq!(all.len(), 1, "{spec}: {all:?}");
            assert!(all[0].contains(part), "{part}\n{all:?}");
        }
        let roles: Vec<_> = (0..40)
            .map(|n| format!("{n:02}{}", "x".repeat(61)))
            .collect();
        let roles = roles.join(", ");
        let yaml =
            format!("kind: ApiKey\nmetadata: {{name: ci}}\nspec: {{org: a, roles: [{roles}]}}");
        assert!(findings(&yaml)[0].contains("at most 1536 characters in total"));
        let long = "x".repeat(56);
        let yaml =
            format!("kind: ApiKey\nmetadata: {{name: {long}}}\nspec: {{org: a, roles: [r]}}");
        assert!(findings(&yaml)[0].contains("at most 55 characters"));
        let yaml =
            "kind: Organization\nmetadata: {name: a}\nspec: {allowedNamespaces: {from: Names}}";
        assert!(findings(yaml)[0].contains("`names` must be set"));
    }

    #[test]
    fn every_rule_of_the_definitions_can_be_evaluated() {
        let checker = Checker::new().unwrap();
        for definition in [&checker.apikey, &checker.organization] {
            let errors = definition.rules.compilation_errors();
            assert!(errors.is_empty(), "{errors:?}");
        }
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
        let files = super::super::read::all(&[folder.to_owned()]).unwrap();
        assert!(
            files.documents.len() >= 10 && files.problems.is_empty(),
            "{files:?}"
        );
        let now = "2026-11-24T10:00:00Z".parse().unwrap();
        for document in &files.documents {
            let problems = checker.check(document, now);
            assert!(problems.is_empty(), "{problems:?}");
        }
    }
}
