//! Generates the `CustomResourceDefinitions` in `crds/`, and the copy in the chart.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use apikey_api::crds;

use crate::output::Generated;

const FOLDERS: [&str; 2] = ["crds", "charts/apikey-operator/files/crds"];

/// Generates the definitions in both folders, which contain no other files.
pub(crate) fn generate(root: &Path) -> Result<Vec<Generated>> {
    let definitions = crds::files()?;
    let mut files = Vec::new();
    for folder in FOLDERS {
        files.extend(folder_of(folder, &definitions, &names(&root.join(folder))?));
    }
    Ok(files)
}

/// Names of the files in a folder.
fn names(folder: &Path) -> Result<BTreeSet<String>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}

/// A folder with exactly these files. Other files on disk are removed.
fn folder_of(
    folder: &str,
    files: &[(String, String)],
    on_disk: &BTreeSet<String>,
) -> Vec<Generated> {
    let path = |name: &String| Path::new(folder).join(name);
    let others = on_disk
        .iter()
        .filter(|name| files.iter().all(|(known, _)| known != *name))
        .map(|name| Generated::absent(path(name)));
    files
        .iter()
        .map(|(name, text)| Generated::file(path(name), text.clone()))
        .chain(others)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_definition_must_not_exist() {
        let files = [("a.yaml".to_owned(), "a".to_owned())];
        let on_disk = ["a.yaml", "old.yaml"].map(str::to_owned).into();
        assert_eq!(
            folder_of("crds", &files, &on_disk),
            [
                Generated::file("crds/a.yaml", "a".to_owned()),
                Generated::absent("crds/old.yaml")
            ]
        );
    }
}
