//! A real Kubernetes control plane for tests and demos: etcd, kube-apiserver and
//! kube-controller-manager on the loopback interface, ready in about three seconds, gone without
//! a trace when its owner is gone. There are no nodes, so Pods stay `Pending`; everything the
//! API itself does (RBAC, admission, garbage collection, namespace deletion, `ServiceAccount`
//! tokens, audit) is the real thing.
//!
//! ```no_run
//! # fn main() -> Result<(), controlplane::Error> {
//! let cluster = controlplane::ControlPlane::start()?;
//! let status = cluster.kubectl().args(["get", "namespaces"]).status();
//! # drop(status);
//! # Ok(())
//! # }
//! ```
//!
//! The binaries are built once per machine by `make controlplane`; see [`Binaries::locate`].

mod access;
mod binaries;
mod builder;
mod components;
mod control_plane;
mod credentials;
mod error;
mod folder;
mod guard;
mod health;
mod kubeconfig;
mod port;
mod process;

pub use binaries::{Binaries, DIR_VARIABLE};
pub use builder::Builder;
pub use control_plane::{ControlPlane, KEEP_VARIABLE};
pub use error::{Error, Result};
pub use kubeconfig::{for_service_account, write_private};
pub use port::free_port;
pub use process::Process;
