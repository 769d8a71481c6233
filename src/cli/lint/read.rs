//! Files as documents that know their lines.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::Spanned;
use serde_saphyr::options::MergeKeyPolicy;

use super::{Problem, Severity};
use crate::api::names;
use crate::cli::exit::Failure;

/// The key that merges another map.
const MERGE: &str = "<<";
/// Endings of files that are read in folders.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// What the files hold.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Objects of our kinds, and namespaces.
    pub(super) documents: Vec<Document>,
    /// Number of objects of other kinds.
    pub(super) skipped: usize,
    /// Files that can't be read.
    pub(super) problems: Vec<Problem>,
}

/// The kinds that are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    ApiKey,
    Organization,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "apikey",
            Self::Organization => "organization",
        }
    }
}

/// One object, with where it stands.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) file: String,
    pub(super) kind: Kind,
    pub(super) value: Value,
    start: usize,
    /// Line of each field, by its path: `spec.subOrgs[0].org`.
    lines: BTreeMap<String, usize>,
}

impl Document {
    /// `apikey/ci`.
    pub(super) fn title(&self) -> String {
        let name = self.text("/metadata/name");
        format!("{}/{}", self.kind.as_str(), name.unwrap_or_default())
    }

    /// The text at a JSON pointer.
    pub(super) fn text(&self, pointer: &str) -> Option<&str> {
        self.value.pointer(pointer)?.as_str()
    }

    /// The line of a field, or of the nearest one around it.
    pub(super) fn line(&self, field: &str) -> usize {
        let mut path = field;
        loop {
            if let Some(line) = self.lines.get(path) {
                return *line;
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return self.start,
            }
        }
    }
}

/// Reads files, folders and standard input.
pub(super) fn all(paths: &[String]) -> Result<Files, Failure> {
    let mut files = Files::default();
    for path in paths {
        if path == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            files.add("<stdin>", &text);
        } else {
            files.walk(Path::new(path), true)?;
        }
    }
    Ok(files)
}

impl Files {
    fn walk(&mut self, path: &Path, is_named: bool) -> Result<(), Failure> {
        let unreadable = |error: std::io::Error| {
            Failure::usage(format!("{} can't be read: {error}", path.display()))
        };
        if path.is_dir() {
            let entries = std::fs::read_dir(path).map_err(unreadable)?;
            let entries = entries.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
            let mut inner: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
            inner.sort();
            let is_hidden = |path: &Path| {
                let name = path.file_name().and_then(|name| name.to_str());
                name.is_some_and(|name| name.starts_with('.'))
            };
            inner.retain(|path| !is_hidden(path));
            return inner.iter().try_for_each(|path| self.walk(path, false));
        }
        let ending = path.extension().and_then(|ending| ending.to_str());
        if is_named || ending.is_some_and(|ending| ENDINGS.contains(&ending)) {
            let text = std::fs::read_to_string(path).map_err(unreadable)?;
            self.add(&path.display().to_string(), &text);
        }
        Ok(())
    }

    /// Takes in the objects of one file.
    pub(super) fn add(&mut self, file: &str, text: &str) {
        // The API server reads 010 as eight. What `<<` means is up to `Node`.
        let options = serde_saphyr::options! {
        merge_keys: MergeKeyPolicy::AsOrdinary, legacy_octal_numbers: true };
        match serde_saphyr::from_multiple_with_options::<Spanned<Node>>(text, options) {
            Err(error) => {
                let line = error.location().map_or(1, |at| at.line());
                let text = error.to_string();
                let first = text.lines().next().unwrap_or_default();
                self.problems.push(Problem {
                    file: file.to_owned(),
                    line: usize::try_from(line).unwrap_or_default(),
                    object: String::new(),
                    field: String::new(),
                    severity: Severity::Error,
                    message: format!("is not YAML or JSON: {first}"),
                });
            }
            Ok(nodes) => {
                for node in nodes {
                    let start = line_of(&node);
                    self.take(file, node.value, start);
                }
            }
        }
    }

    fn take(&mut self, file: &str, node: Node, start: usize) {
        let (value, lines) = match node {
            Node {
                value: Value::Null, ..
            } => return,
            Node { value, lines } => (value, lines),
        };
        let kind = value["kind"].as_str().unwrap_or_default();
        let version = value["apiVersion"].as_str().unwrap_or_default();
        if kind.ends_with("List") && value["items"].is_array() {
            return self.take_list(file, value, &lines, start);
        }
        let ours = version.split('/').next() == Some(names::GROUP);
        let kind = match kind {
            "ApiKey" if ours => Kind::ApiKey,
            "Organization" if ours => Kind::Organization,
            _ => {
                self.skipped += 1;
                return;
            }
        };
        self.documents.push(Document {
            file: file.to_owned(),
            kind,
            value,
            start,
            lines,
        });
    }

    fn take_list(
        &mut self,
        file: &str,
        mut list: Value,
        lines: &BTreeMap<String, usize>,
        start: usize,
    ) {
        let items = list["items"].as_array_mut().map(std::mem::take);
        for (place, value) in items.into_iter().flatten().enumerate() {
            let prefix = format!("items[{place}]");
            let inner = |(path, line): (&String, &usize)| {
                let path = path.strip_prefix(&prefix)?.strip_prefix('.')?;
                Some((path.to_owned(), *line))
            };
            let node = Node {
                value,
                lines: lines.iter().filter_map(inner).collect(),
            };
            let start = lines.get(&prefix).copied().unwrap_or(start);
            self.take(file, node, start);
        }
    }
}

fn line_of<T>(node: &Spanned<T>) -> usize {
    usize::try_from(node.referenced.line()).unwrap_or_default()
}

/// A value with the line of each field in it.
#[derive(Debug, Default)]
struct Node {
    value: Value,
    lines: BTreeMap<String, usize>,
}

impl Node {
    /// Takes in the lines of an inner node, under its path.
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

/// Adds fields that are merged. The API server refuses those that are there already, as it does those that
/// come again after them.
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

/// Sets a field; its name, if it is there already.
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

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "\
# a comment
kind: ConfigMap
apiVersion: v1
---
apiVersion: apikey-operator.dev/v1alpha1
kind: ApiKey
metadata: {name: ci}
spec:
  org: acme
  roles:
  - viewer
  - builder
---
apiVersion: v1
kind: List
items:
- apiVersion: apikey-operator.dev/v1alpha1
  kind: Organization
  metadata:
    name: acme
";

    #[test]
    fn documents_know_the_lines_of_their_fields() {
        let mut files = Files::default();
        files.add("f", TWO);
        assert_eq!((files.documents.len(), files.skipped), (2, 1), "{files:?}");
        let key = &files.documents[0];
        assert_eq!(key.title(), "apikey/ci");
        let lines = [
            "spec.org",
            "spec.roles[1]",
            "spec.roles[1].x",
            "spec.token",
            "",
        ];
        assert_eq!(lines.map(|field| key.line(field)), [9, 12, 12, 8, 5]);
        let organization = &files.documents[1];
        assert_eq!(organization.title(), "organization/acme");
        assert_eq!(organization.line("metadata.name"), 20);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_a_problem_at_its_line() {
        let mut files = Files::default();
        files.add("f", "a: 1\nb: [");
        assert_eq!(files.problems.len(), 1);
        assert!(files.problems[0].line >= 2, "{:?}", files.problems);
        files.add(
            "g",
            r#"{"kind": "ApiKey", "apiVersion": "apikey-operator.dev/v1alpha1"}"#,
        );
        assert_eq!(files.documents.len(), 1);
    }
}
