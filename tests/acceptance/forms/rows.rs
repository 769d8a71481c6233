//! The corpus: objects as people write them, each with one possible mistake. Pure.

use apikey_api::{ApiKey, Organization, crds};
use serde_json::{Map, Value, json};

use super::words::{DATA_KEYS, KEYS, NAMES, TIMES, WORDS};

/// The placeholder for the text of a row until the object is written.
const PLACE: &str = "@@place@@";
/// One object.
pub(super) struct Row {
    /// The name of the case in the table.
    pub(super) kind: &'static str,
    /// The kind of the object, in lower case and plural.
    pub(super) plural: &'static str,
    /// The object as YAML.
    pub(super) yaml: String,
    /// A description of the case.
    pub(super) what: String,
}

/// All rows. The names of objects are numbered.
pub(super) fn all() -> Vec<Row> {
    let mut corpus = Corpus::default();
    for plural in ["apikeys", "organizations"] {
        let schema = if plural == "apikeys" {
            crds::schema::<ApiKey>()
        } else {
            crds::schema::<Organization>()
        };
        let schema = schema.unwrap();
        let mut paths = Vec::new();
        fields(&schema["properties"]["spec"], "/spec", &mut paths);
        paths.push("/spec/unknown".to_owned());
        paths.push("/unknown".to_owned());
        paths.push("/status".to_owned());
        for path in &paths {
            corpus.words("values of fields", plural, path);
        }
        for path in [
            "/metadata/labels",
            "/metadata/labels/team",
            "/metadata/annotations",
            "/metadata/annotations/team",
            "/metadata/generateName",
            "/metadata/creationTimestamp",
            "/metadata/finalizers",
            "/metadata/ownerReferences",
            "/metadata/unknown",
            "/metadata/uid",
            "/metadata/generation",
            "/metadata/name",
            "/metadata",
        ] {
            corpus.words("values of metadata", plural, path);
        }
        for name in NAMES {
            corpus.row("names", plural, "/metadata/name", name);
            corpus.row("names", plural, "/metadata/generateName", name);
        }
        for long in [55, 56, 63, 64, 253, 254] {
            corpus.row("names", plural, "/metadata/name", &"n".repeat(long));
        }
        let mut maps = vec!["/metadata/labels", "/metadata/annotations"];
        if plural == "apikeys" {
            maps.extend([
                "/spec/secret/template/labels",
                "/spec/secret/template/annotations",
            ]);
        } else {
            maps.push("/spec/allowedNamespaces/selector/matchLabels");
        }
        for map in maps {
            for key in KEYS {
                corpus.row(
                    "keys of labels and annotations",
                    plural,
                    map,
                    &format!("{{{key}: x}}"),
                );
            }
            for (chars, prefix) in [(63, 0), (64, 0), (63, 253), (1, 254)] {
                let prefix = "d".repeat(prefix) + if prefix > 0 { "/" } else { "" };
                let key = format!("{{{prefix}{}: x}}", "n".repeat(chars));
                corpus.row("keys of labels and annotations", plural, map, &key);
            }
            corpus.row(
                "keys of labels and annotations",
                plural,
                map,
                "{a: x, a: y}",
            );
            corpus.row(
                "values of labels and annotations",
                plural,
                &format!("{map}/team"),
                &"x".repeat(63),
            );
            corpus.row(
                "values of labels and annotations",
                plural,
                &format!("{map}/team"),
                &"x".repeat(64),
            );
        }
    }
    for name in NAMES {
        corpus.row("names", "apikeys", "/spec/name", name);
        corpus.row("names", "apikeys", "/spec/secret/name", name);
        corpus.row("names", "organizations", "/spec/parent", name);
    }
    for key in DATA_KEYS {
        corpus.row("data keys", "apikeys", "/spec/secret/keys/name", key);
        corpus.row("data keys", "apikeys", "/spec/secret/keys/secret", key);
    }
    for form in super::forms() {
        let quoted = Value::from(form).to_string();
        corpus.row("forms of an expiry", "apikeys", "/spec/expiry", &quoted);
    }
    for time in TIMES {
        corpus.row("times", "apikeys", "/spec/expiry", time);
    }
    corpus.texts();
    corpus.rows
}

/// The paths of all fields of a schema, as JSON pointers.
fn fields(schema: &Value, path: &str, paths: &mut Vec<String>) {
    paths.push(path.to_owned());
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        fields(inner, &format!("{path}/{name}"), paths);
    }
    if schema["items"].is_object() {
        fields(&schema["items"], &format!("{path}/0"), paths);
    }
    if schema["additionalProperties"].is_object() {
        fields(
            &schema["additionalProperties"],
            &format!("{path}/key"),
            paths,
        );
    }
}

#[derive(Default)]
struct Corpus {
    rows: Vec<Row>,
}

impl Corpus {
    fn words(&mut self, kind: &'static str, plural: &'static str, path: &str) {
        for word in WORDS {
            self.row(kind, plural, path, word);
        }
    }

    /// An object with this text at a place, and valid otherwise.
    fn row(&mut self, kind: &'static str, plural: &'static str, path: &str, text: &str) {
        let mut object = self.sound(plural);
        put(&mut object, path);
        let yaml = object.to_string().replace(&format!("\"{PLACE}\""), text);
        let what = format!("{plural}{path}: {text}");
        self.push(kind, plural, yaml, what);
    }

    fn push(&mut self, kind: &'static str, plural: &'static str, yaml: String, what: String) {
        self.rows.push(Row {
            kind,
            plural,
            yaml,
            what,
        });
    }

    fn sound(&self, plural: &str) -> Value {
        let name = format!("row-{}", self.rows.len());
        let (kind, spec) = if plural == "apikeys" {
            ("ApiKey", json!({"org": "acme", "roles": ["viewer"]}))
        } else {
            (
                "Organization",
                json!({"allowedNamespaces": {"from": "All"}}),
            )
        };
        json!({
            "apiVersion": "apikey-operator.dev/v1alpha1", "kind": kind,
            "metadata": {"name": name}, "spec": spec,
        })
    }

    /// Forms of whole files.
    fn texts(&mut self) {
        const HEAD: &str = "apiVersion: apikey-operator.dev/v1alpha1\nkind: ApiKey\n";
        for text in [
            "metadata: {name: NAME}\nspec:\n  org: acme\n  roles: [viewer]\n  secret:\n  token:\n",
            "metadata: {name: NAME}\nspec:\n  org: acme\n  roles:\n  - viewer\n  suspended:\n  rotation: ~\n",
            "metadata: {name: NAME}\nspec:\n  org: acme\n  roles:\n",
            "metadata: {name: NAME}\nspec:\n",
            "metadata: {name: NAME}\n",
            "metadata: {name: NAME, labels: , annotations: ~}\nspec: {org: acme, roles: [viewer]}\n",
            "metadata: {name: NAME, creationTimestamp: null}\nspec: {org: acme, roles: [viewer]}\nstatus: {}\n",
            "metadata: {name: NAME}\nspec: {org: acme, roles: [viewer]}\nstatus: {phase: Active, x: 1}\n",
            "metadata: {name: NAME}\nspec: {org: acme, roles: [viewer], org: other}\n",
            "metadata: {name: NAME}\nspec: {org: acme, roles: [viewer]}\nspec: {org: acme, roles: [viewer]}\n",
            "metadata: {name: NAME}\nspec: &spec {org: acme, roles: &r [viewer], subOrgs: [{org: b, roles: *r}]}\n",
            "metadata: {name: NAME}\nspec: {<<: {org: acme, roles: [viewer]}}\n",
            "metadata: {name: NAME}\nspec: {<<: {org: acme}, roles: [viewer], org: b}\n",
            "metadata: {name: NAME}\nspec: {roles: [viewer], org: b, <<: {org: acme}}\n",
            "metadata: {name: NAME}\nspec: {<<: [{org: acme}, {org: b, roles: [viewer]}]}\n",
            "metadata: {name: NAME}\nspec: {<<: [{org: acme}, 5], roles: [viewer]}\n",
            "metadata: {name: NAME}\nspec: {<<: ~, org: acme, roles: [viewer]}\n",
            "metadata: {name: NAME}\nspec: {<<: {rolls: [viewer]}, org: acme, roles: [viewer]}\n",
            "metadata: {name: NAME}\nspec:\n  <<: &x {org: acme}\n  roles: [viewer]\n  token: {<<: {ttlSeconds: 60}}\n",
            "metadata: {name: NAME}\nspec: {org: *nothing, roles: [viewer]}\n",
            "metadata: {name: NAME}\nspec: {org: acme, roles: [viewer], description: >-\n    folded\n    text\n  }\n",
            "metadata: {name: NAME}\nspec:\n  org: acme\n  roles: [viewer]\n  description: |\n    two\n    lines\n",
            "metadata: {name: NAME}\nspec:\n\torg: acme\n",
            "metadata: {name: NAME}\nspec: {org: acme, roles: [viewer]} # a comment\n...\n",
            "metadata: {name: NAME}\nspec: !!map {org: !!str acme, roles: !!seq [viewer]}\n",
            "metadata: {name: NAME}\nspec: !custom {org: acme, roles: [viewer]}\n",
            "metadata: {name: NAME}\nspec: {org: acme, roles: [viewer], description: 'it''s'}\n",
            "metadata: {name: NAME}\nspec: {org: acme, roles: [viewer], description: \"\\x41\\u00e9\\U0001F511\"}\n",
            "metadata: {name: NAME}\nspec: {org: acme, roles: [viewer], description: a: b}\n",
            "metadata: {name: NAME}\nspec: {org: acme, roles: [viewer], description: a #b}\n",
            "metadata: {name: NAME}\nspec: {org: acme, roles: [viewer,], token: {ttlSeconds: 60,}}\n",
            "metadata: {name: NAME}\nspec: {org: acme, roles: [viewer], 1: x}\n",
            "metadata: {name: NAME}\nspec: {org: acme, roles: [viewer], ? [a] : x}\n",
            "metadata: {name: NAME}\nspec: {\"org\":\"acme\",\"roles\":[\"viewer\"]}\n",
            "metadata: {name: NAME}\nspec: {org: acme, roles: [viewer], description: @at}\n",
            "metadata: {name: NAME}\nspec: {org: acme, roles: [viewer], description: `tick}\n",
            "metadata: {name: NAME}\nspec: {org: acme, roles: [viewer], description: %percent}\n",
            "metadata: {name: NAME}\nspec: {Org: acme, roles: [viewer]}\n",
            "metadata: {name: NAME}\nspec: {org: acme, roles: [viewer], secret: {recipients: ~}}\n",
            "metadata: {name: NAME}\nspec: {org: acme, roles: [viewer], secret: {delivery: ~, revealWithinSeconds: 60}}\n",
            "metadata: {name: NAME}\nspec: {org: acme, roles: [viewer], rotation: {everyDays: ~, overlapSeconds: 90000}}\n",
            "metadata: {name: NAME}\nspec: {org: acme, roles: [viewer], rotation: {everyDays: 1, overlapSeconds: 90000}}\n",
            "metadata: {name: NAME}\nspec: {org: acme, roles: [viewer], subOrgs: [{org: a}, {org: a}]}\n",
            "metadata: {name: NAME}\nspec: {org: acme, roles: [viewer], subOrgs: [{org: acme}]}\n",
            "metadata: {name: NAME}\nspec: {org: acme, roles: [viewer], subOrgs: [{roles: [a]}]}\n",
            "metadata: {name: NAME}\nspec: {org: acme, roles: [viewer], subOrgs: [{org: a, roles: }]}\n",
            "metadata: {name: NAME}\nspec: {org: acme, roles: [viewer], subOrgs: [~]}\n",
            "\u{feff}metadata: {name: NAME}\nspec: {org: acme, roles: [viewer]}\n",
            "metadata: {name: NAME}\r\nspec: {org: acme, roles: [viewer]}\r\n",
        ] {
            let name = format!("row-{}", self.rows.len());
            let yaml = format!("{HEAD}{}", text.replace("NAME", &name));
            self.push("files", "apikeys", yaml, text.to_owned());
        }
        let sound = self.sound("apikeys");
        for head in ["---\n", "%YAML 1.1\n---\n", "# comment\n", "\u{feff}"] {
            self.push(
                "files",
                "apikeys",
                format!("{head}{sound}\n"),
                format!("{head:?}"),
            );
        }
    }
}

/// Puts the placeholder at a path, and creates what must surround it.
fn put(object: &mut Value, path: &str) {
    let steps: Vec<_> = path[1..].split('/').collect();
    let mut at = object;
    for (n, step) in steps.iter().enumerate() {
        let is_last = n + 1 == steps.len();
        if let Value::Array(items) = at {
            at = &mut items[0];
            if is_last {
                *at = json!(PLACE);
            }
            continue;
        }
        let fields = at.as_object_mut().unwrap();
        if is_last {
            if *step == "generateName" {
                fields.remove("name");
            }
            fields.insert((*step).to_owned(), json!(PLACE));
            return;
        }
        let holds_list = steps[n + 1] == "0";
        at = fields
            .entry(*step)
            .or_insert_with(|| around(step, holds_list));
        if *step == "allowedNamespaces" && ["names", "selector"].contains(&steps[n + 1]) {
            at["from"] = json!(if steps[n + 1] == "names" {
                "Names"
            } else {
                "Selector"
            });
        }
    }
}

/// The value of a field that gets the placeholder.
fn around(field: &str, holds_list: bool) -> Value {
    match (field, holds_list) {
        ("subOrgs", _) => json!([{"org": "sub"}]),
        ("roles", _) => json!([{"key": "viewer"}]),
        ("matchExpressions", _) => json!([{"key": "team", "operator": "In", "values": ["a"]}]),
        (_, true) => json!([Value::Null]),
        (_, false) => Value::Object(Map::new()),
    }
}
