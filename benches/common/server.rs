//! The token server as a process.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use crate::common::cluster::Cluster;
use crate::common::operator::{OPERATOR_NAMESPACE, Operator, PROGRAM};

/// ServiceAccount of the token server.
pub(crate) const ACCOUNT: &str = "apikey-operator-token";

/// Starts token servers.
pub(crate) struct Servers {
    logs: PathBuf,
    kubeconfig: PathBuf,
    /// The command that runs the program. Empty if the program runs directly.
    wrapper: &'static [&'static str],
}

pub(crate) struct Server {
    pub(crate) operator: Operator,
    pub(crate) address: SocketAddr,
}

impl Servers {
    pub(crate) fn of(cluster: &Cluster, wrapper: &'static [&'static str]) -> Self {
        let control_plane = &cluster.control_plane;
        let kubeconfig = control_plane
            .service_account_kubeconfig(OPERATOR_NAMESPACE, ACCOUNT)
            .expect("a kubeconfig for the ServiceAccount");
        Self {
            logs: control_plane.logs_dir().to_owned(),
            kubeconfig,
            wrapper,
        }
    }

    /// Starts a token server with these flags at a free address.
    pub(crate) fn start(&self, flags: &[&str]) -> Server {
        let port = controlplane::free_port().unwrap();
        self.start_at((Ipv4Addr::LOCALHOST, port).into(), flags)
    }

    /// Starts a token server with these flags at this address.
    pub(crate) fn start_at(&self, address: SocketAddr, flags: &[&str]) -> Server {
        let listen = address.to_string();
        let command = [PROGRAM, "token-server", "--token-listen", &listen];
        let command = [self.wrapper, &command, flags].concat();
        let operator = Operator::start(&self.kubeconfig, &self.logs, &command);
        Server { operator, address }
    }
}

impl Server {
    /// Waits until it serves.
    pub(crate) async fn ready(&self) {
        self.operator.ready().await;
        let look = Duration::from_millis(1);
        let serves = || TcpStream::connect(self.address).is_ok();
        self.operator.until("serving", look, serves).await;
    }
}
