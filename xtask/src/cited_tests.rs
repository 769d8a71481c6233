//! Checks the tests that the documentation cites as `FILE::NAME`, such as
//! `tests/acceptance/delete.rs::a_test`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use regex::Regex;
use walkdir::WalkDir;

use crate::output;

/// Pages that cite tests, in addition to all of `docs/`.
const PAGES: [&str; 3] = ["README.md", "SECURITY.md", "CONTRIBUTING.md"];

/// A test that the documentation cites.
#[derive(Debug, PartialEq, Eq)]
struct Citation {
    /// Path of the source file from the root of the repository.
    file: String,
    name: String,
}

/// Fails if the documentation cites a test that does not exist.
pub(crate) fn check(root: &Path) -> Result<()> {
    let patterns = Patterns::new()?;
    let mut sources: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut missing = Vec::new();
    for page in pages(root)? {
        for Citation { file, name } in patterns.citations(&output::read(root, &page)?) {
            let tests = sources.entry(file.clone()).or_insert_with(|| {
                let source = fs::read_to_string(root.join(&file)).unwrap_or_default();
                patterns.tests(&source)
            });
            if !tests.contains(&name) {
                missing.push(format!(
                    "{} names a test that does not exist: {file}::{name}",
                    page.display()
                ));
            }
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    bail!(missing.join("\n"))
}

/// Paths of the pages from the root.
fn pages(root: &Path) -> Result<Vec<PathBuf>> {
    let mut pages: Vec<_> = PAGES.map(PathBuf::from).into();
    for entry in WalkDir::new(root.join("docs")).sort_by_file_name() {
        let path = entry?.into_path();
        if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path.strip_prefix(root)?.to_owned());
        }
    }
    Ok(pages)
}

struct Patterns {
    citation: Regex,
    test: Regex,
}

impl Patterns {
    fn new() -> Result<Self> {
        Ok(Self {
            citation: Regex::new(
                r"((?:benches|crates|src|tests|xtask)/[A-Za-z0-9_/-]+\.rs)::([A-Za-z0-9_]+)",
            )?,
            // Matches the attribute `test` or `tokio::test`, further attributes and comments, and the
            // function.
            test: Regex::new(
                r"#\[(?:[a-z_]+::)?test\b[^\n]*\n(?:\s*(?:#\[[^\n]*|//[^\n]*)\n)*\s*(?:pub(?:\([a-z]+\))? )?(?:async )?fn ([A-Za-z0-9_]+)",
            )?,
        })
    }

    /// The tests that a page cites.
    fn citations(&self, page: &str) -> Vec<Citation> {
        self.citation
            .captures_iter(page)
            .map(|found| Citation {
                file: found[1].to_owned(),
                name: found[2].to_owned(),
            })
            .collect()
    }

    /// Names of the tests in a source file.
    fn tests(&self, source: &str) -> BTreeSet<String> {
        self.test
            .captures_iter(source)
            .map(|found| found[1].to_owned())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_citation_is_a_source_file_and_a_name() {
        let page = "By `tests/acceptance/delete.rs::gone` and\n\
            [it](../crates/kubectl-apikey/src/wait.rs::tests_2), not `tests/acceptance/delete.rs::...`";
        let citation = |file: &str, name: &str| Citation {
            file: file.to_owned(),
            name: name.to_owned(),
        };
        assert_eq!(
            Patterns::new().unwrap().citations(page),
            [
                citation("tests/acceptance/delete.rs", "gone"),
                citation("crates/kubectl-apikey/src/wait.rs", "tests_2")
            ]
        );
    }

    #[test]
    fn a_test_is_a_function_with_the_attribute() {
        let source = r#"
            #[tokio::test(flavor = "multi_thread")]
            // Why.
            #[ignore = "slow"]
            async fn first() {}

            fn helper() {}

            #[cfg(test)]
            mod tests {
                #[test]
                fn second() {}
            }
        "#;
        let tests = Patterns::new().unwrap().tests(source);
        assert_eq!(tests, ["first", "second"].map(str::to_owned).into());
    }
}
