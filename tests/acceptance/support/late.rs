//! A road to the API server on which every answer is late.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::operator::Arguments;
use super::{Cluster, TokenServer, free_address};

impl Cluster {
    /// Starts a token server that hears from the API server this much later than others.
    pub(crate) async fn late_token_server(&self, late: Duration) -> TokenServer {
        let url = self.control_plane.server_url();
        let (_, authority) = url.split_once("://").unwrap();
        let near = road(authority.parse().unwrap(), late).await;
        let kubeconfig = std::fs::read_to_string(self.token_service_account()).unwrap();
        let file = self.control_plane.dir().join("late.kubeconfig");
        std::fs::write(&file, kubeconfig.replace(authority, &near.to_string())).unwrap();
        let logs = self.control_plane.logs_dir();
        let arguments = Arguments::of("token-server", &[]);
        TokenServer::start(free_address(), &file, logs, arguments)
    }
}

/// Opens the road; it is there as long as the runtime.
async fn road(far: SocketAddr, late: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((caller, _)) = listener.accept().await {
            let server = TcpStream::connect(far).await.unwrap();
            let (from_caller, to_caller) = caller.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::spawn(pass(from_caller, to_server, Duration::ZERO));
            tokio::spawn(pass(from_server, to_caller, late));
        }
    });
    near
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
