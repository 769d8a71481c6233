//! What can go wrong, in words that say what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// The result of everything fallible in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a control plane did not start, or an operation on it failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A binary of the control plane has not been built.
    #[error("{} is missing; run: make controlplane", .0.display())]
    MissingBinary(PathBuf),

    /// The folder of the binaries cannot be derived from the environment.
    #[error(
        "none of APIKEY_OPERATOR_CONTROLPLANE_DIR, XDG_CACHE_HOME and HOME is set, \
         so the control plane binaries cannot be found"
    )]
    NoCacheFolder,

    /// The operating system refused something.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb: "write", "run".
        action: &'static str,
        /// The file or program it was tried on.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },

    /// No certificate could be made.
    #[error("cannot make the certificates: {0}")]
    Certificates(#[from] rcgen::Error),

    /// A component ended, or was not ready in time.
    #[error(
        "{component} {problem}\n--- the end of its log ---\n{log_tail}\n--- all logs: {} ---",
        logs.display()
    )]
    NotReady {
        /// The component at fault: "etcd", "kube-apiserver" or "kube-controller-manager".
        component: &'static str,
        /// What is wrong with it, to be read after its name.
        problem: String,
        /// The last lines of its log.
        log_tail: String,
        /// The folder with the logs of all components, kept for reading; yours to delete.
        logs: PathBuf,
    },

    /// A command (kubectl) failed.
    #[error("`{command}` failed: {stderr}")]
    Command {
        /// The command line, without secrets.
        command: String,
        /// What it said, trimmed.
        stderr: String,
    },

    /// A kubeconfig does not hold what was looked for.
    #[error("the current kubeconfig {0}")]
    Kubeconfig(&'static str),
}

/// Adds to an [`io::Error`] what was being done, and to what.
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
