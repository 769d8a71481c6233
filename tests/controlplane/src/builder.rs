//! The settings of a control plane, and its start.

use std::time::Duration;

use crate::binaries::Binaries;
use crate::components::CONTROLLERS;

/// Settings for the start of a control plane, from [`ControlPlane::builder`](crate::ControlPlane::builder).
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    pub(crate) binaries: Option<Binaries>,
    pub(crate) deadline: Duration,
    pub(crate) keep_logs_on_failure: bool,
    pub(crate) controllers: String,
    pub(crate) apiserver_args: Vec<String>,
    pub(crate) controller_manager_args: Vec<String>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            binaries: None,
            deadline: Duration::from_mins(1),
            keep_logs_on_failure: false,
            controllers: String::new(),
            apiserver_args: Vec::new(),
            controller_manager_args: Vec::new(),
        }
        .controllers(CONTROLLERS)
    }
}

impl Builder {
    /// Uses these binaries. The default is [`Binaries::locate`].
    pub fn binaries(mut self, binaries: Binaries) -> Self {
        self.binaries = Some(binaries);
        self
    }

    /// Sets the longest time for a start or a restart. The default is 60 seconds.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Keeps the logs if a panic, such as a failed assertion, drops the control plane, and names their
    /// folder on standard error. The logs of a failed start are always kept.
    pub fn keep_logs_on_failure(mut self, keep: bool) -> Self {
        self.keep_logs_on_failure = keep;
        self
    }

    /// Runs exactly these controllers, named as for `kube-controller-manager --controllers`.
    /// The default is the controllers that are useful without nodes.
    pub fn controllers<Name: AsRef<str>>(mut self, names: impl IntoIterator<Item = Name>) -> Self {
        let names: Vec<_> = names
            .into_iter()
            .map(|name| name.as_ref().to_owned())
            .collect();
        self.controllers = names.join(",");
        self
    }

    /// Runs every default controller of Kubernetes. The start takes about half a second longer.
    pub fn all_controllers(self) -> Self {
        self.controllers(["*"])
    }

    /// Adds a flag to kube-apiserver, written `--name=value`. It overrides an earlier one.
    pub fn apiserver_arg(mut self, flag: impl Into<String>) -> Self {
        self.apiserver_args.push(flag.into());
        self
    }

    /// Adds a flag to kube-controller-manager, written `--name=value`. It overrides an earlier one.
    pub fn controller_manager_arg(mut self, flag: impl Into<String>) -> Self {
        self.controller_manager_args.push(flag.into());
        self
    }
}
