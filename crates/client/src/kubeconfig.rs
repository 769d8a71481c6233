//! Finds the cluster, and how to connect to it, as kubectl does.
//!
//! kube reads the files of `KUBECONFIG`. This module adds what kubectl does in addition. It skips a listed
//! file that is missing. It ignores an empty `current-context`, which kubectl writes into a file that it
//! emptied. It uses a proxy of the environment only for servers that are not on this machine and not in
//! `NO_PROXY`, which kube compares with the proxy itself.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use kube::Config;
use kube::client::AuthError;
use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};

use crate::proxy;
use crate::yaml;

/// The cluster can't be determined.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file can't be read.
    #[error("{}: {source}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Why the file can't be read.
        source: KubeconfigError,
    },
    /// A file is not a kubeconfig. kube's own error quotes lines that can contain tokens and keys.
    #[error("{} is not a kubeconfig: {problem}", path.display())]
    Malformed {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong with the file.
        problem: yaml::Problem,
    },
    /// The merged kubeconfig can't be used.
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    /// There is no kubeconfig, and the program does not run in a cluster.
    #[error("there is none in {looked}, and this does not run in a cluster ({in_cluster})")]
    Nowhere {
        /// Where the program looked for a kubeconfig.
        looked: String,
        /// Why the program is considered to run outside a cluster.
        in_cluster: InClusterError,
    },
}

impl Error {
    fn of_file(path: &Path, error: KubeconfigError) -> Self {
        let path = path.to_owned();
        if let KubeconfigError::Parse(error) = &error {
            let problem = yaml::Problem::of(error);
            return Self::Malformed { path, problem };
        }
        Self::File {
            path,
            source: error,
        }
    }
}

/// What failed in a command that gets credentials. It omits the standard output of the command, which
/// contains the credentials. `None` if the error has another cause.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "no other error is about what a command printed"
)]
pub(crate) fn credentials_failure(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    match causes.find_map(|error| error.downcast_ref::<AuthError>())? {
        AuthError::AuthExecParse(error) => Some(format!(
            "the command of the kubeconfig that gets credentials prints no ExecCredential: {}",
            yaml::Problem::of(error)
        )),
        AuthError::AuthExecRun { out, .. } => {
            let stderr = String::from_utf8_lossy(&out.stderr);
            let lines: Vec<_> = stderr.lines().map(str::trim).collect();
            Some(format!(
                "the command of the kubeconfig that gets credentials failed ({}): {}",
                out.status,
                lines.join(" ")
            ))
        }
        _ => None,
    }
}

/// Reads and merges the files of `KUBECONFIG`, or reads `~/.kube/config`. Empty if there is none.
///
/// # Errors
/// One of the files exists and can't be read.
pub fn read() -> Result<Kubeconfig, Error> {
    merged(&files())
}

/// The cluster of a context of the kubeconfig, by default the current context. Without a kubeconfig, the
/// cluster in which the program runs.
///
/// # Errors
/// See [`Error`].
pub async fn infer(context: Option<&str>) -> Result<Config, Error> {
    let kubeconfig = read()?;
    if is_empty(&kubeconfig) && context.is_none() {
        return Config::incluster().map_err(|in_cluster| Error::Nowhere {
            looked: looked(&files()),
            in_cluster,
        });
    }
    Ok(config(kubeconfig, context).await?)
}

/// The cluster of a context of this file, by default the current context.
///
/// # Errors
/// The file can't be read, or the context can't be used.
pub async fn of_file(path: &Path, context: Option<&str>) -> Result<Config, Error> {
    let read = Kubeconfig::read_from(path).map_err(|error| Error::of_file(path, error))?;
    Ok(config(read, context).await?)
}

async fn config(kubeconfig: Kubeconfig, context: Option<&str>) -> Result<Config, KubeconfigError> {
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    let named = proxy_url(&kubeconfig, context).map(str::parse);
    let named = named.transpose().map_err(KubeconfigError::ParseProxyUrl)?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    let environment = proxy::Environment::read();
    config.proxy_url = named.or_else(|| environment.proxy_of(&config.cluster_url));
    Ok(config)
}

/// The proxy that a context's cluster specifies.
fn proxy_url<'a>(kubeconfig: &'a Kubeconfig, context: Option<&str>) -> Option<&'a str> {
    let name = context.or(kubeconfig.current_context.as_deref())?;
    let mut contexts = kubeconfig.contexts.iter();
    let context = contexts.find(|context| context.name == name)?;
    let name = &context.context.as_ref()?.cluster;
    let mut clusters = kubeconfig.clusters.iter();
    let cluster = clusters.find(|cluster| cluster.name == *name)?;
    let url = cluster.cluster.as_ref()?.proxy_url.as_deref();
    url.filter(|url| !url.is_empty())
}

fn files() -> Vec<PathBuf> {
    let listed = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let listed = std::env::split_paths(&listed).filter(|path| !path.as_os_str().is_empty());
    let listed: Vec<_> = listed.collect();
    if !listed.is_empty() {
        return listed;
    }
    let home = std::env::home_dir().into_iter();
    home.map(|home| home.join(".kube/config")).collect()
}

fn looked(files: &[PathBuf]) -> String {
    let names: Vec<_> = files
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    names.join(", ")
}

fn merged(files: &[PathBuf]) -> Result<Kubeconfig, Error> {
    let mut all = Kubeconfig::default();
    for path in files {
        let read = one(path).map_err(|error| Error::of_file(path, error))?;
        if let Some(read) = read {
            all = all.merge(read)?;
        }
    }
    Ok(all)
}

/// Reads a file, if it exists.
fn one(path: &Path) -> Result<Option<Kubeconfig>, KubeconfigError> {
    match Kubeconfig::read_from(path) {
        Ok(mut read) => {
            let current = read.current_context.take();
            read.current_context = current.filter(|name| !name.is_empty());
            Ok(Some(read))
        }
        Err(KubeconfigError::ReadConfig(error, _)) if error.kind() == ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Whether the kubeconfig has no entries.
fn is_empty(kubeconfig: &Kubeconfig) -> bool {
    kubeconfig.clusters.is_empty()
        && kubeconfig.auth_infos.is_empty()
        && kubeconfig.contexts.is_empty()
        && kubeconfig.current_context.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_empty_is_skipped_and_what_is_broken_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let missing = folder.path().join("missing");
        let empty = write(
            "empty",
            "clusters: null\ncontexts: null\ncurrent-context: \"\"\nusers: null\n",
        );
        let nothing = write("nothing", "");
        let good = write(
            "good",
            "clusters: [{name: a, cluster: {server: 'http://a'}}]\ncurrent-context: a\n",
        );
        let other = write(
            "other",
            "clusters: [{name: b, cluster: {server: 'http://b'}}]\ncurrent-context: b\n",
        );
        let broken = write("broken", "clusters: [");
        let all = merged(&[missing.clone(), empty.clone(), nothing.clone(), good, other]).unwrap();
        assert_eq!(all.current_context.as_deref(), Some("a"));
        assert_eq!(all.clusters.len(), 2);
        for nowhere in [missing, empty, nothing] {
            assert!(is_empty(&merged(&[nowhere]).unwrap()));
        }
        let message = merged(&[broken]).unwrap_err().to_string();
        assert!(
            message.contains("/broken is not a kubeconfig: line 1, column "),
            "{message}"
        );
        assert!(merged(&[folder.path().to_owned()]).is_err());
    }
}
