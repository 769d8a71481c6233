//! The environment in which commands meet a control plane and nothing of the user's own.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The places of a command's cluster, tools and caches.
pub(crate) struct Access {
    pub(crate) kubeconfig: PathBuf,
    pub(crate) etcd_url: String,
    pub(crate) tools: PathBuf,
    pub(crate) dir: PathBuf,
    pub(crate) audit_log: PathBuf,
}

impl Access {
    /// A command with `KUBECONFIG`, `ETCDCTL_ENDPOINTS`, the tools first on its `PATH`, and the
    /// caches of kubectl and helm in the control plane's folder. Settings of helm and etcdctl and the
    /// user's kubectl preferences have no effect.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        for (name, _) in env::vars_os() {
            let bytes = name.as_encoded_bytes();
            if bytes.starts_with(b"HELM_") || bytes.starts_with(b"ETCDCTL_") {
                command.env_remove(name);
            }
        }
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("ETCDCTL_ENDPOINTS", &self.etcd_url)
            .env("PATH", search_path(&self.tools))
            .env("KUBECACHEDIR", self.dir.join("kubectl-cache"))
            .env("KUBERC", "off")
            .env("HELM_CACHE_HOME", self.dir.join("helm/cache"))
            .env("HELM_CONFIG_HOME", self.dir.join("helm/config"))
            .env("HELM_DATA_HOME", self.dir.join("helm/data"))
            .env("CONTROLPLANE_DIR", &self.dir)
            .env("CONTROLPLANE_AUDIT_LOG", &self.audit_log);
        command
    }

    /// One of our own tools. It does not use the user's home, unlike other commands.
    pub(crate) fn tool(&self, name: &str) -> Command {
        let mut command = self.command(self.tools.join(name));
        command.env("HOME", self.dir.join("home"));
        command
    }
}

fn search_path(first: &Path) -> OsString {
    let mut path = first.as_os_str().to_owned();
    if let Some(rest) = env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    path
}
