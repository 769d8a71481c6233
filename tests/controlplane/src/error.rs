//! What can go wrong, in words that say what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// The result of a fallible operation of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// The cause of a failed start of a control plane, or of a failed operation on it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A binary of the control plane has not been built.
    #[error("{} is missing; run: make controlplane", .0.display())]
    MissingBinary(PathBuf),

    /// The environment does not determine the folder of the binaries.
    #[error(
        "none of APIKEY_OPERATOR_CONTROLPLANE_DIR, XDG_CACHE_HOME and HOME is set, \
         so the control plane binaries cannot be found"
    )]
    NoCacheFolder,

    /// An operation of the operating system failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The operation, as a verb: "write", "run".
        action: &'static str,
        /// The file or program of the operation.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },

    /// The creation of a certificate failed.
    #[error("cannot make the certificates: {0}")]
    Certificates(#[from] rcgen::Error),

    /// A component ended or was not ready in time.
    #[error(
        "{component} {problem}\n--- the end of its log ---\n{log_tail}\n--- all logs: {} ---",
        logs.display()
    )]
    NotReady {
        /// The failed component: "etcd", "kube-apiserver" or "kube-controller-manager".
        component: &'static str,
        /// The problem, as text that follows the component's name.
        problem: String,
        /// The last lines of its log.
        log_tail: String,
        /// The folder with the logs of all components. The caller may delete it.
        logs: PathBuf,
    },

    /// A command (kubectl) failed.
    #[error("`{command}` failed: {stderr}")]
    Command {
        /// The command line, without secrets.
        command: String,
        /// The trimmed standard error.
        stderr: String,
    },

    /// A kubeconfig lacks a required part.
    #[error("the current kubeconfig {0}")]
    Kubeconfig(&'static str),
}

/// Adds the operation and its object to an [`io::Error`].
pub(crate) trait IoContext<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| Error::Io {
            action,
            path: path.to_path_buf(),
            source,
        })
    }
}
