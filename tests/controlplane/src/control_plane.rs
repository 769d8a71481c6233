//! A control plane from start to end.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Instant;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::access::Access;
use crate::binaries::Binaries;
use crate::builder::Builder;
use crate::components::{Site, etcd_url};
use crate::credentials::Credentials;
use crate::error::{Error, Result};
use crate::folder::{self, Folder};
use crate::guard::Component;
use crate::health::{Fault, Probe, wait};
use crate::kubeconfig::{for_service_account, with_token, write_private};
use crate::port::free_port;

/// The environment variable that keeps the whole folder of every control plane if it is `1`. The folder's name
/// is printed to standard error when the control plane stops.
pub const KEEP_VARIABLE: &str = "APIKEY_OPERATOR_KEEP";

/// The number of attempts to start if another program takes the port.
const START_ATTEMPTS: usize = 3;

/// A running control plane. Dropping it ends it and removes its folder. If the process ends
/// without dropping it, even by SIGKILL, the same happens shortly after.
pub struct ControlPlane {
    // Dropped in this order: each server before the one it talks to, the folder last.
    controller_manager: Option<Component>,
    apiserver: Option<Component>,
    etcd: Option<Component>,
    folder: Folder,
    settings: Builder,
    binaries: Binaries,
    credentials: Credentials,
    access: Access,
    probe: Probe,
    port: u16,
    url: String,
}

/// A failed start. A fault becomes an error with the folder of the kept logs.
enum Failure {
    Fault(Fault),
    Error(Error),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl ControlPlane {
    /// Starts a control plane with the usual settings; see [`Builder::start`].
    ///
    /// # Errors
    /// The same as for [`Builder::start`].
    pub fn start() -> Result<Self> {
        Self::builder().start()
    }

    /// Settings for a control plane that can be changed before its start.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The kubeconfig of an administrator (group `system:masters`).
    #[must_use]
    pub fn admin_kubeconfig(&self) -> &Path {
        &self.access.kubeconfig
    }

    /// A `kubectl` command as administrator that does not use the user's home.
    #[must_use]
    pub fn kubectl(&self) -> Command {
        self.access.tool("kubectl")
    }

    /// A `helm` command as administrator that does not use the user's home.
    #[must_use]
    pub fn helm(&self) -> Command {
        self.access.tool("helm")
    }

    /// An `etcdctl` command that reads and writes the apiserver's storage without its checks, also
    /// while the apiserver is stopped. Nothing is encrypted at rest, so the value of a Secret is
    /// stored in clear, as bytes and not in base64. `get --prefix ''` prints it among bytes that
    /// are not UTF-8. It shows the current revision. Older revisions stay in the files of etcd (in
    /// [`Self::dir`]) until they are compacted.
    #[must_use]
    pub fn etcdctl(&self) -> Command {
        self.access.tool("etcdctl")
    }

    /// Any other command, with the environment of [`Self::kubectl`] and the user's own `HOME`:
    /// `KUBECONFIG`, `ETCDCTL_ENDPOINTS` ([`Self::etcd_url`]), our tools first on the `PATH`,
    /// `CONTROLPLANE_DIR` ([`Self::dir`]) and `CONTROLPLANE_AUDIT_LOG` ([`Self::audit_log`]).
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.access.command(program)
    }

    /// Writes a kubeconfig (mode 0600) for an existing `ServiceAccount`, with a new token for 24
    /// hours, the embedded CA, and `namespace` as the context's namespace. There is one file for each
    /// account in [`Self::dir`]. A second call replaces it.
    ///
    /// # Errors
    /// [`Error::Command`] if the `ServiceAccount` does not exist; [`Error::Io`] if kubectl does
    /// not run or the file can't be written.
    pub fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let content = for_service_account(|| self.kubectl(), namespace, name, "24h")?;
        let file = self.folder.file(&format!("{namespace}_{name}.kubeconfig"));
        write_private(&file, &content)?;
        Ok(file)
    }

    /// The apiserver's address: `https://127.0.0.1:` and the port.
    #[must_use]
    pub fn server_url(&self) -> &str {
        &self.url
    }

    /// etcd's address: `unix://` and a socket in [`Self::dir`]. It has no TLS and no password,
    /// because only the user can access the folder.
    #[must_use]
    pub fn etcd_url(&self) -> &str {
        &self.access.etcd_url
    }

    /// The CA certificate of the apiserver, as PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.credentials.ca_pem
    }

    /// The folder of this control plane. It is removed at the end.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// The audit log: one JSON object (an `audit.k8s.io/v1` Event of level Metadata) per line. The
    /// line of a request is written before its response.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.access.audit_log.clone()
    }

    /// The folder with one log per component, `etcd.log` and so on, and the audit log.
    #[must_use]
    pub fn logs_dir(&self) -> &Path {
        self.folder.logs()
    }

    /// Kills the apiserver like a crash of its machine, and returns when the port is closed.
    /// Everything else keeps running and the data stays.
    pub fn stop_apiserver(&mut self) {
        self.apiserver = None;
    }

    /// Starts the apiserver again, on the same port and with the same data, and returns when its
    /// `/readyz` returns 200. Kills it first if it runs. The controller manager reconnects by itself
    /// shortly after.
    ///
    /// # Errors
    /// [`Error::NotReady`] if it ends or is not ready by the deadline.
    pub fn restart_apiserver(&mut self) -> Result<()> {
        self.restart_apiserver_with(&[])
    }

    /// The same, with these additional flags until its next start.
    ///
    /// # Errors
    /// The same as for [`Self::restart_apiserver`].
    pub fn restart_apiserver_with(&mut self, flags: &[&str]) -> Result<()> {
        self.stop_apiserver();
        self.run_apiserver(Instant::now(), flags)
            .map_err(|failure| self.explain(failure))
    }

    /// Saves a copy of etcd's data for [`Self::set_back`]. This kills etcd and the apiserver and starts them
    /// again with the same data.
    ///
    /// # Errors
    /// [`Error::Io`] if the copy fails; [`Error::NotReady`] as for [`Self::restart_apiserver`].
    pub fn save_state(&mut self) -> Result<()> {
        let (data, saved) = (self.folder.file("etcd"), self.folder.file("etcd.saved"));
        self.with_etcd_stopped(|| folder::replace(&data, &saved))
    }

    /// Sets etcd back to the state of the last [`Self::save_state`], revision included, like a restored
    /// backup. This kills etcd and the apiserver and starts them again.
    ///
    /// # Errors
    /// [`Error::Io`] if no state was saved; [`Error::NotReady`] as for [`Self::restart_apiserver`].
    pub fn set_back(&mut self) -> Result<()> {
        let (data, saved) = (self.folder.file("etcd"), self.folder.file("etcd.saved"));
        self.with_etcd_stopped(|| folder::replace(&saved, &data))
    }

    fn with_etcd_stopped(&mut self, change: impl FnOnce() -> Result<()>) -> Result<()> {
        self.stop_apiserver();
        self.etcd = None;
        change()?;
        self.etcd = Some(self.site().etcd()?);
        self.restart_apiserver()
    }

    fn prepare(settings: Builder, binaries: &Binaries) -> Result<Self> {
        let folder = Folder::create()?;
        if env::var_os(KEEP_VARIABLE).is_some_and(|value| value == "1") {
            folder.keep()?;
        }
        let credentials = Credentials::create(&folder)?;
        let port = free_port()?;
        let url = format!("https://127.0.0.1:{port}");
        let access = Access {
            kubeconfig: folder.file("admin.kubeconfig"),
            etcd_url: etcd_url(&folder),
            tools: binaries.dir().to_path_buf(),
            dir: folder.path().to_path_buf(),
            audit_log: folder.logs().join("audit.log"),
        };
        let cluster = cluster(&url, &credentials);
        write_private(
            &access.kubeconfig,
            &with_token(&cluster, "admin", &credentials.admin_token, "default"),
        )?;
        let probe = Probe::new(&url, &credentials.ca_pem, &credentials.admin_token);
        Ok(Self {
            controller_manager: None,
            apiserver: None,
            etcd: None,
            folder,
            settings,
            binaries: binaries.clone(),
            credentials,
            access,
            probe,
            port,
            url,
        })
    }

    fn bring_up(&mut self) -> std::result::Result<(), Failure> {
        let started = Instant::now();
        self.etcd = Some(self.site().etcd()?);
        self.run_apiserver(started, &[])?;
        // If it started before the apiserver is ready, the controller manager would wait a whole second
        // for its next attempt.
        let user = "system:kube-controller-manager";
        let cluster = cluster(&self.url, &self.credentials);
        let kubeconfig = with_token(
            &cluster,
            user,
            &self.credentials.controller_manager_token,
            "default",
        );
        self.controller_manager = Some(self.site().controller_manager(
            &kubeconfig,
            &self.settings.controllers,
            &self.settings.controller_manager_args,
        )?);
        self.wait(
            "/api/v1/namespaces/default/serviceaccounts/default",
            started,
        )?;
        Ok(())
    }

    fn run_apiserver(
        &mut self,
        started: Instant,
        flags: &[&str],
    ) -> std::result::Result<(), Failure> {
        let mut args = self.settings.apiserver_args.clone();
        args.extend(flags.iter().map(ToString::to_string));
        self.apiserver = Some(self.site().apiserver(self.port, &args)?);
        self.wait("/readyz?verbose", started)?;
        Ok(())
    }

    fn wait(&mut self, path: &str, started: Instant) -> std::result::Result<(), Fault> {
        let mut components: Vec<_> = [
            &mut self.etcd,
            &mut self.apiserver,
            &mut self.controller_manager,
        ]
        .into_iter()
        .filter_map(Option::as_mut)
        .collect();
        wait(
            &self.probe,
            path,
            &mut components,
            started,
            self.settings.deadline,
        )
    }

    fn explain(&mut self, failure: Failure) -> Error {
        match failure {
            Failure::Fault(fault) => fault.into_error(self.folder.rescue_logs()),
            Failure::Error(error) => error,
        }
    }

    fn site(&self) -> Site<'_> {
        Site {
            binaries: &self.binaries,
            folder: &self.folder,
            credentials: &self.credentials,
        }
    }
}

impl Builder {
    /// Starts the control plane and returns when it is ready: the apiserver's `/readyz` returns 200,
    /// and the controller manager has created the `ServiceAccount` `default` in namespace `default`.
    ///
    /// # Errors
    /// [`Error::MissingBinary`] if the binaries are not built; [`Error::NotReady`] if a component
    /// ends or is not ready by the deadline (the error names the folder of the kept logs);
    /// [`Error::Io`] and [`Error::Certificates`] if an operation of the system fails.
    ///
    /// [`Error::MissingBinary`]: crate::Error::MissingBinary
    /// [`Error::NotReady`]: crate::Error::NotReady
    /// [`Error::Io`]: crate::Error::Io
    /// [`Error::Certificates`]: crate::Error::Certificates
    pub fn start(self) -> Result<ControlPlane> {
        let binaries = match &self.binaries {
            Some(binaries) => binaries.clone(),
            None => Binaries::locate()?,
        };
        let mut attempt = 1;
        loop {
            let mut plane = ControlPlane::prepare(self.clone(), &binaries)?;
            match plane.bring_up() {
                Ok(()) => return Ok(plane),
                Err(Failure::Fault(fault)) if fault.is_port_taken() && attempt < START_ATTEMPTS => {
                    attempt += 1;
                }
                Err(failure) => return Err(plane.explain(failure)),
            }
        }
    }
}

/// Without the secrets.
impl fmt::Debug for ControlPlane {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ControlPlane")
            .field("server_url", &self.url)
            .field("dir", &self.dir())
            .finish_non_exhaustive()
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        let kept = if self.folder.is_kept() {
            self.folder.path()
        } else if self.settings.keep_logs_on_failure && thread::panicking() {
            self.folder.rescue_logs()
        } else {
            return;
        };
        let _ = writeln!(
            io::stderr(),
            "the control plane's files are kept in {}",
            kept.display()
        );
    }
}

fn cluster(url: &str, credentials: &Credentials) -> Value {
    json!({
        "server": url,
        "certificate-authority-data": BASE64_STANDARD.encode(&credentials.ca_pem),
    })
}
