//! GitOps: the states that Argo CD, Flux and Helm observe, and the absence of drift.

mod argocd;
mod by_hand;
mod drift;
mod flow;
mod health;
mod helm;
mod judges;

use std::path::{Path, PathBuf};

use serde_json::Value;

/// A file or folder of the repository.
fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The documents of a YAML file.
fn documents(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_saphyr::from_multiple(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The only document of a YAML file.
fn document(path: &Path) -> Value {
    let mut all = documents(path);
    assert_eq!(all.len(), 1, "{}", path.display());
    all.remove(0)
}

/// The documents of the YAML files of a folder, and of folders in it.
fn tree(path: &str) -> Vec<(PathBuf, Value)> {
    let mut found = Vec::new();
    let mut folders = vec![file(path)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "yaml")
            {
                found.extend(documents(&path).into_iter().map(|d| (path.clone(), d)));
            }
        }
    }
    found
}
