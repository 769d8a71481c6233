//! Reads files as documents with line numbers.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use serde_json::Value;
use serde_saphyr::Spanned;
use serde_saphyr::options::MergeKeyPolicy;

use super::node::{Node, line_of};
use super::problem::{Problem, Severity};
use crate::exit::Failure;
use crate::nearest::question;
use apikey_api::names;
use apikey_client::yaml;

/// File extensions that are read in folders.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// The kinds of this API.
const KINDS: [&str; 2] = ["ApiKey", "Organization"];

/// The content of the files.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Objects of the kinds of this API.
    pub(super) documents: Vec<Document>,
    /// Number of objects of other kinds.
    pub(super) skipped: usize,
    /// Problems of files that can't be read.
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

/// One object and its position.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) file: String,
    pub(super) kind: Kind,
    pub(super) value: Value,
    start: usize,
    /// Line of each field by its path, for example `spec.subOrgs[0].org`.
    lines: BTreeMap<String, usize>,
}

impl Document {
    /// The title, for example `apikey/ci`.
    pub(super) fn title(&self) -> String {
        let name = self.text("/metadata/name");
        format!("{}/{}", self.kind.as_str(), name.unwrap_or_default())
    }

    /// The text at a JSON pointer.
    pub(super) fn text(&self, pointer: &str) -> Option<&str> {
        self.value.pointer(pointer)?.as_str()
    }

    /// The line of a field, or of the closest field that contains it.
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

    /// Adds the objects of one file.
    pub(super) fn add(&mut self, file: &str, text: &str) {
        // The API server reads 010 as octal. `Node` handles `<<`.
        let options = serde_saphyr::options! {
        merge_keys: MergeKeyPolicy::AsOrdinary, legacy_octal_numbers: true };
        match serde_saphyr::from_multiple_with_options::<Spanned<Node>>(text, options) {
            Err(error) => {
                let yaml::Problem { line, column, what } = yaml::Problem::of(&error);
                let message = format!("is not YAML or JSON, at column {column}: {what}");
                self.refuse(file, line, "", message);
            }
            Ok(nodes) => {
                for node in nodes {
                    let start = line_of(&node);
                    self.take(file, node.value, start);
                }
            }
        }
    }

    /// Adds a problem for text that is not a document.
    fn refuse(&mut self, file: &str, line: usize, field: &str, message: String) {
        self.problems.push(Problem {
            file: file.to_owned(),
            line,
            object: String::new(),
            field: field.to_owned(),
            severity: Severity::Error,
            message,
        });
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
            other if ours => {
                let meant = question(other, KINDS);
                let message = format!(
                    "'{other}' is not a kind of {}{meant}: the kinds are {}",
                    names::GROUP,
                    KINDS.join(" and ")
                );
                let line = lines.get("kind").copied().unwrap_or(start);
                return self.refuse(file, line, "kind", message);
            }
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

impl Document {
    /// Creates an error about this object.
    pub(super) fn problem(&self, field: &str, message: impl Into<String>) -> Problem {
        Problem {
            file: self.file.clone(),
            line: self.line(field),
            object: self.title(),
            field: field.to_owned(),
            severity: Severity::Error,
            message: message.into(),
        }
    }

    /// Creates a finding about this object that can't be decided.
    pub(super) fn unknown(&self, field: &str, message: impl Into<String>) -> Problem {
        Problem {
            severity: Severity::Unknown,
            ..self.problem(field, message)
        }
    }

    /// Creates a warning about this object.
    pub(super) fn warning(&self, field: &str, message: impl Into<String>) -> Problem {
        Problem {
            severity: Severity::Warning,
            ..self.problem(field, message)
        }
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
