//! Where the built binaries are.

use std::env;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The environment variable for a folder with the binaries, instead of the cache.
pub const DIR_VARIABLE: &str = "APIKEY_OPERATOR_CONTROLPLANE_DIR";

/// The only place that pins versions.
const GO_MOD: &str = include_str!("../go.mod");

/// The binaries that a start needs.
const NEEDED: [&str; 4] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kubectl",
];

/// A folder with the executables `etcd`, `kube-apiserver`, `kube-controller-manager` and `kubectl`, and with
/// `etcdctl`, `helm`, `age` and `age-keygen` if the caller needs them.
#[derive(Debug, Clone)]
pub struct Binaries {
    dir: PathBuf,
}

impl Binaries {
    /// Finds the binaries in the folder that [`DIR_VARIABLE`] names. Without it, uses the folder of
    /// `make controlplane`: `${XDG_CACHE_HOME:-$HOME/.cache}/apikey-operator/controlplane/<version>/`.
    ///
    /// # Errors
    /// [`Error::MissingBinary`] names the first missing file that a start needs;
    /// [`Error::NoCacheFolder`] when the environment names no folder at all.
    pub fn locate() -> Result<Self> {
        let set = |name| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let dir = match set(DIR_VARIABLE) {
            Some(dir) => dir,
            None => set("XDG_CACHE_HOME")
                .or_else(|| set("HOME").map(|home| home.join(".cache")))
                .ok_or(Error::NoCacheFolder)?
                .join("apikey-operator/controlplane")
                .join(kubernetes_version()),
        };
        Self::in_folder(dir)
    }

    /// Uses the binaries of one folder.
    ///
    /// # Errors
    /// [`Error::MissingBinary`] names the first missing file that a start needs.
    pub fn in_folder(dir: impl Into<PathBuf>) -> Result<Self> {
        let dir = dir.into();
        match NEEDED
            .iter()
            .map(|name| dir.join(name))
            .find(|file| !file.is_file())
        {
            Some(missing) => Err(Error::MissingBinary(missing)),
            None => Ok(Self { dir }),
        }
    }

    /// The folder itself, for the front of a `PATH`.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The path of one of the executables, which may be missing. Use it for `age` and `age-keygen`, which need no
    /// control plane. A [`ControlPlane`] has commands for the others.
    ///
    /// [`ControlPlane`]: crate::ControlPlane
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

fn kubernetes_version() -> &'static str {
    GO_MOD
        .lines()
        .filter_map(|line| line.trim().strip_prefix("k8s.io/kubernetes "))
        .find_map(|rest| rest.split_whitespace().next())
        .unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::{Binaries, kubernetes_version};

    #[test]
    fn the_version_is_read_from_the_pins() {
        assert!(
            kubernetes_version().starts_with("v1."),
            "{}",
            kubernetes_version()
        );
    }

    #[test]
    fn a_missing_binary_is_named_together_with_the_way_to_get_it() {
        let empty = tempfile::tempdir().unwrap();
        let message = Binaries::in_folder(empty.path()).unwrap_err().to_string();
        assert!(message.contains("/etcd is missing"), "{message}");
        assert!(message.ends_with("run: make controlplane"), "{message}");
    }
}
