//! A road to the API server on which every answer is late, and which can be closed.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::operator::Arguments;
use super::{Cluster, TokenServer, free_address};

/// A road to the API server. It is open as long as the runtime, unless it is closed.
pub(crate) struct Road {
    far: SocketAddr,
    near: SocketAddr,
    late: Duration,
    open: Option<JoinHandle<()>>,
}

impl Cluster {
    /// Opens a road on which every answer comes this much later.
    pub(crate) async fn road(&self, late: Duration) -> Road {
        let (_, far) = self.control_plane.server_url().split_once("://").unwrap();
        let mut road = Road {
            far: far.parse().unwrap(),
            near: free_address(),
            late,
            open: None,
        };
        road.open().await;
        road
    }

    /// Starts a token server that hears from the API server by this road.
    pub(crate) fn token_server_by(&self, road: &Road) -> TokenServer {
        let kubeconfig = std::fs::read_to_string(self.token_service_account()).unwrap();
        let kubeconfig = kubeconfig.replace(&road.far.to_string(), &road.near.to_string());
        let file = self.control_plane.dir().join("road.kubeconfig");
        std::fs::write(&file, kubeconfig).unwrap();
        let logs = self.control_plane.logs_dir();
        let arguments = Arguments::of("token-server", &[]);
        TokenServer::start(free_address(), &file, logs, arguments)
    }
}

impl Road {
    /// Opens it.
    pub(crate) async fn open(&mut self) {
        let listener = TcpListener::bind(self.near).await.unwrap();
        let (far, late) = (self.far, self.late);
        self.open = Some(tokio::spawn(async move {
            // Goes with this task, and what is on the road with it.
            let mut passing = JoinSet::new();
            while let Ok((caller, _)) = listener.accept().await {
                let server = TcpStream::connect(far).await.unwrap();
                let (from_caller, to_caller) = caller.into_split();
                let (from_server, to_server) = server.into_split();
                passing.spawn(pass(from_caller, to_server, Duration::ZERO));
                passing.spawn(pass(from_server, to_caller, late));
            }
        }));
    }

    /// Closes it: connections end, and there are no new ones.
    pub(crate) async fn close(&mut self) {
        let open = self.open.take().unwrap();
        open.abort();
        open.await.unwrap_err();
    }
}

/// Passes on what comes, each piece this much later.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, late: Duration) {
    let (queue, mut waiting) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((due, piece)) = waiting.recv().await {
            sleep_until(due).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
    });
    let mut piece = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        if queue
            .send((Instant::now() + late, piece[..length].to_vec()))
            .is_err()
        {
            return;
        }
    }
}
