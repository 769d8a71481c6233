//! Writes generated files, or compares them with those on disk.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use similar::TextDiff;

/// A generated file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Generated {
    /// Path from the root of the repository.
    path: PathBuf,
    /// Text of the file. `None` if the file must not exist.
    text: Option<String>,
}

impl Generated {
    /// A file with this text.
    pub(crate) fn file(path: impl Into<PathBuf>, text: String) -> Self {
        Self {
            path: path.into(),
            text: Some(text),
        }
    }

    /// A file that must not exist.
    pub(crate) fn absent(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            text: None,
        }
    }
}

/// Reads the file at this path from the root.
pub(crate) fn read(root: &Path, path: impl AsRef<Path>) -> Result<String> {
    let path = root.join(path);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// Writes the files, and removes those that must not exist.
pub(crate) fn write(root: &Path, files: &[Generated]) -> Result<()> {
    for Generated { path, text } in files {
        let path = root.join(path);
        let written = match text {
            Some(text) => fs::write(&path, text),
            None => fs::remove_file(&path),
        };
        written.with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Returns the differences of the files that are not up to date.
pub(crate) fn stale(root: &Path, files: &[Generated]) -> Result<Vec<String>> {
    let mut differences = Vec::new();
    for Generated { path, text } in files {
        let on_disk = match fs::read_to_string(root.join(path)) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        differences.extend(difference(path, on_disk.as_deref(), text.as_deref()));
    }
    Ok(differences)
}

/// The difference between the file on disk and the generated one: the output of `diff -u`, and a sentence.
fn difference(path: &Path, on_disk: Option<&str>, generated: Option<&str>) -> Option<String> {
    if on_disk == generated {
        return None;
    }
    let path = path.display();
    let Some(generated) = generated else {
        return Some(format!("{path} is not generated any more"));
    };
    let Some(on_disk) = on_disk else {
        return Some(format!("{path} is missing"));
    };
    let diff = TextDiff::from_lines(on_disk, generated);
    let mut unified = diff.unified_diff();
    let unified = unified.header(&path.to_string(), "generated").to_string();
    Some(format!("{unified}{path} is stale"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(on_disk: Option<&str>, generated: Option<&str>) -> Option<String> {
        difference(Path::new("a.md"), on_disk, generated)
    }

    #[test]
    fn a_difference_shows_the_lines_and_names_the_file() {
        assert_eq!(of(Some("a\n"), Some("a\n")), None);
        assert_eq!(of(None, None), None);
        assert_eq!(
            of(Some("a\nb\n"), Some("a\nc\n")).unwrap(),
            "--- a.md\n+++ generated\n@@ -1,2 +1,2 @@\n a\n-b\n+c\na.md is stale"
        );
        assert_eq!(of(None, Some("a\n")).unwrap(), "a.md is missing");
        assert_eq!(
            of(Some("a\n"), None).unwrap(),
            "a.md is not generated any more"
        );
    }

    #[test]
    fn what_was_written_is_up_to_date() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("old"), "x").unwrap();
        let files = [
            Generated::file("new", "a\n".to_owned()),
            Generated::absent("old"),
        ];
        assert_eq!(stale(root.path(), &files).unwrap().len(), 2);
        write(root.path(), &files).unwrap();
        assert_eq!(stale(root.path(), &files).unwrap(), [""; 0]);
        assert!(!root.path().join("old").exists());
    }
}
