//! Modules that import each other in a circle.

mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Result, bail};
use syn::visit::{self, Visit};
use syn::{ItemMod, UseTree};

use self::sources::{Module, Sources};

type Imports = BTreeMap<Module, BTreeSet<Module>>;

/// Fails if modules of one crate import each other in a circle.
pub(crate) fn check(root: &Path) -> Result<()> {
    let mut circles = Vec::new();
    for root_file in sources::crates(root)? {
        let imports = imports(&sources::read(&root.join(&root_file))?);
        for circle in find(&imports) {
            let names: Vec<_> = circle.iter().map(|module| name(module)).collect();
            circles.push(format!("{}: {}", root_file.display(), names.join(", ")));
        }
    }
    if circles.is_empty() {
        return Ok(());
    }
    bail!(
        "modules import each other in a circle:\n{}",
        circles.join("\n")
    )
}

/// The module as a message shows it.
fn name(module: &Module) -> String {
    if module.is_empty() {
        return "crate".to_owned();
    }
    module.join("::")
}

/// What each module imports of its crate.
fn imports(sources: &Sources) -> Imports {
    let mut all = Imports::new();
    for (module, file) in sources {
        let mut found = Found {
            module,
            paths: BTreeSet::new(),
        };
        found.visit_file(file);
        let imported = found.paths.into_iter().filter_map(|mut path| {
            while !sources.contains_key(&path) {
                path.pop()?;
            }
            (path != *module).then_some(path)
        });
        all.insert(module.clone(), imported.collect());
    }
    all
}

/// Paths that begin in the crate itself.
struct Found<'a> {
    module: &'a Module,
    paths: BTreeSet<Module>,
}

impl Found<'_> {
    fn add(&mut self, path: &[String]) {
        let Some((first, mut rest)) = path.split_first() else {
            return;
        };
        let mut module = self.module.clone();
        match first.as_str() {
            "crate" => module.clear(),
            "self" => {}
            "super" => {
                module.pop();
                while let Some((next, further)) = rest.split_first()
                    && next == "super"
                {
                    module.pop();
                    rest = further;
                }
            }
            _ => return,
        }
        module.extend(rest.iter().cloned());
        self.paths.insert(module);
    }

    fn add_tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.add_tree(&with(&path.ident), &path.tree),
            UseTree::Name(name) if name.ident == "self" => self.add(before),
            UseTree::Name(name) => self.add(&with(&name.ident)),
            UseTree::Rename(name) => self.add(&with(&name.ident)),
            UseTree::Glob(_) => self.add(before),
            UseTree::Group(group) => group
                .items
                .iter()
                .for_each(|tree| self.add_tree(before, tree)),
        }
    }
}

impl<'ast> Visit<'ast> for Found<'_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        // Not what is made public: that a module shows its parts is no import.
        if matches!(item.vis, syn::Visibility::Inherited) {
            self.add_tree(&[], &item.tree);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !item.attrs.iter().any(sources::is_of_tests) {
            visit::visit_item_mod(self, item);
        }
    }

    // The path of `pub(super)` imports nothing.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        self.add(&segments);
        visit::visit_path(self, path);
    }
}

/// Groups of modules each of which leads to every other one.
fn find(imports: &Imports) -> Vec<BTreeSet<&Module>> {
    let reached: BTreeMap<_, _> = imports
        .keys()
        .map(|from| (from, reach(imports, from)))
        .collect();
    let mut circles = BTreeSet::new();
    for (from, there) in &reached {
        if there.contains(from) {
            let back = |to: &&&Module| reached.get(**to).is_some_and(|back| back.contains(from));
            circles.insert(there.iter().filter(back).copied().collect::<BTreeSet<_>>());
        }
    }
    circles.into_iter().collect()
}

/// All modules to which the imports of one lead.
fn reach<'a>(imports: &'a Imports, from: &'a Module) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut left = vec![from];
    while let Some(module) = left.pop() {
        for next in imports.get(module).into_iter().flatten() {
            if reached.insert(next) {
                left.push(next);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(sources: &[(&str, &str)]) -> Vec<String> {
        let module = |name: &str| {
            name.split("::")
                .filter(|p| !p.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let sources = sources
            .iter()
            .map(|(name, text)| (module(name), syn::parse_file(text).unwrap()));
        let imports = imports(&sources.collect());
        let circles = find(&imports).into_iter();
        let names = |circle: BTreeSet<&Module>| {
            let names: Vec<_> = circle.iter().map(|module| module.join("::")).collect();
            names.join(" ")
        };
        circles.map(names).collect()
    }

    #[test]
    fn a_circle_is_found_however_it_is_written() {
        let lower = ("a::low", "use super::super::b::{self, Deep};");
        assert_eq!(
            found(&[
                ("a", "mod low; use self::low::X;"),
                lower,
                ("b", "fn f() { crate::a::g() }")
            ]),
            ["a a::low b"]
        );
    }

    #[test]
    fn tests_and_what_is_made_public_make_no_circle() {
        let parent = ("a", "mod low; pub use self::low::X;");
        assert_eq!(
            found(&[parent, ("a::low", "use super::Y;")]),
            Vec::<String>::new()
        );
        let private = ("a", "mod low; use self::low::X;");
        assert_eq!(
            found(&[private, ("a::low", "pub(super) struct X;")]),
            Vec::<String>::new()
        );
        let tested = (
            "a",
            "use crate::b::X; #[cfg(test)] mod tests { use super::*; }",
        );
        assert_eq!(
            found(&[tested, ("b", "#[cfg(test)] mod tests { use crate::a::Y; }")]),
            Vec::<String>::new()
        );
    }
}
