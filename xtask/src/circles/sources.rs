//! The source files of a crate, found as the compiler finds them: by its `mod` declarations.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use syn::{Attribute, Expr, ExprLit, File, Item, ItemMod, Lit, Meta};
use walkdir::WalkDir;

/// Path of a module inside its crate. It is empty for the root.
pub(super) type Module = Vec<String>;
pub(super) type Sources = BTreeMap<Module, File>;

/// Folders with crates: programs, libraries, benchmarks, and tests of several files.
const FOLDERS: [&str; 6] = ["benches", "crates", "fuzz", "src", "tests", "xtask"];

/// The root file of each crate, relative to the root of the repository.
pub(super) fn crates(root: &Path) -> Result<Vec<PathBuf>> {
    let mut crates = Vec::new();
    for folder in FOLDERS {
        let entries = WalkDir::new(root.join(folder))
            .sort_by_file_name()
            .into_iter()
            .filter_entry(|entry| entry.file_name() != "target");
        for entry in entries {
            let path = entry?.into_path();
            if path.ends_with("lib.rs") || path.ends_with("main.rs") {
                crates.push(path.strip_prefix(root)?.to_owned());
            }
        }
    }
    Ok(crates)
}

/// The modules of the crate with this root file, without those that exist only in its tests.
pub(super) fn read(root_file: &Path) -> Result<Sources> {
    let mut sources = Sources::new();
    let folder = root_file.with_file_name("");
    add(&mut sources, Module::new(), root_file, &folder)?;
    Ok(sources)
}

/// Adds a module and its children, whose files are in `folder` unless `#[path]` names them.
fn add(sources: &mut Sources, module: Module, file: &Path, folder: &Path) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let parsed = syn::parse_file(&text).with_context(|| file.display().to_string())?;
    for item in &parsed.items {
        let Item::Mod(child) = item else { continue };
        if child.content.is_some() || child.attrs.iter().any(is_of_tests) {
            continue;
        }
        let (child_file, child_folder) = locate(child, file, folder);
        let path = [module.as_slice(), &[child.ident.to_string()]].concat();
        add(sources, path, &child_file, &child_folder)?;
    }
    sources.insert(module, parsed);
    Ok(())
}

/// The file of a child module, and the folder of the children of that module.
fn locate(child: &ItemMod, parent_file: &Path, folder: &Path) -> (PathBuf, PathBuf) {
    if let Some(path) = child.attrs.iter().find_map(named_path) {
        let file = parent_file.with_file_name(path);
        let folder = file.with_file_name("");
        return (file, folder);
    }
    let below = folder.join(child.ident.to_string());
    let file = below.with_extension("rs");
    if file.exists() {
        (file, below)
    } else {
        (below.join("mod.rs"), below)
    }
}

/// The value of a `#[path]` attribute.
fn named_path(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else {
        return None;
    };
    let Expr::Lit(ExprLit {
        lit: Lit::Str(path),
        ..
    }) = &pair.value
    else {
        return None;
    };
    pair.path.is_ident("path").then(|| path.value())
}

/// Whether the attribute is `#[cfg(test)]`.
pub(super) fn is_of_tests(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute
            .parse_args::<syn::Path>()
            .is_ok_and(|condition| condition.is_ident("test"))
}
