//! What each package of the workspace may depend on: downward only, and nothing of another program.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, bail};

use crate::program;

/// A package, with its place in the workspace.
struct Layer {
    package: &'static str,
    /// All packages of the workspace that it may depend on.
    below: &'static [&'static str],
    /// Packages of others that it must not depend on.
    without: &'static [&'static str],
}

const PURE: &[&str] = &["kube-client", "kube-runtime", "hyper", "reqwest", "tokio"];
const CLIENT: &[&str] = &["kube-client", "kube-runtime", "hyper", "reqwest"];
const SHARED: &[&str] = &[
    "apikey-api",
    "apikey-client",
    "apikey-credential",
    "apikey-policy",
];

const LAYERS: [Layer; 6] = [
    Layer {
        package: "apikey-api",
        below: &[],
        without: PURE,
    },
    Layer {
        package: "apikey-policy",
        below: &["apikey-api"],
        without: PURE,
    },
    Layer {
        package: "apikey-credential",
        below: &[],
        without: CLIENT,
    },
    Layer {
        package: "apikey-client",
        below: &["apikey-api"],
        without: &["axum", "clap"],
    },
    Layer {
        package: "kubectl-apikey",
        below: SHARED,
        without: &["axum", "governor", "opentelemetry", "prometheus-client"],
    },
    Layer {
        package: "apikey-operator",
        below: SHARED,
        without: &["crossterm", "indicatif", "inquire", "kube-cel"],
    },
];

/// Fails if a package depends on something that it must not depend on.
pub(crate) fn check(root: &Path) -> Result<()> {
    let mut wrong = Vec::new();
    for layer in LAYERS {
        let options = [
            "tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}",
        ];
        let mut command = program::cargo(root);
        command.args(options).args(["--package", layer.package]);
        wrong.extend(layer.violations(&program::run(&mut command)?));
    }
    if !wrong.is_empty() {
        bail!(
            "{}\nmove the code, or change LAYERS in xtask/src/layers.rs",
            wrong.join("\n")
        );
    }
    Ok(())
}

impl Layer {
    /// What is wrong with the packages of its tree, one on a line as `NAME vVERSION ...`.
    fn violations(&self, tree: &str) -> Vec<String> {
        let names = tree.lines().filter_map(|line| line.split(' ').next());
        let names: BTreeSet<_> = names.filter(|name| *name != self.package).collect();
        let of_workspace = |name: &&&str| LAYERS.iter().any(|layer| layer.package == **name);
        let above = names
            .iter()
            .filter(of_workspace)
            .filter(|name| !self.below.contains(name));
        let foreign = names.iter().filter(|name| self.without.contains(name));
        above
            .chain(foreign)
            .map(|name| format!("{} must not depend on {name}", self.package))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_above_and_one_of_another_program_are_named() {
        let [api, .., operator] = &LAYERS;
        let tree =
            "apikey-api v0.1.0 (/somewhere)\nserde v1.0.0\ntokio v1.54.0 (*)\napikey-client v0.1.0";
        assert_eq!(
            api.violations(tree),
            [
                "apikey-api must not depend on apikey-client",
                "apikey-api must not depend on tokio"
            ]
        );
        let tree =
            "apikey-operator v0.1.0\napikey-api v0.1.0\ntokio v1.54.0\nkubectl-apikey v0.1.0";
        assert_eq!(
            operator.violations(tree),
            ["apikey-operator must not depend on kubectl-apikey"]
        );
    }
}
