//! A TCP proxy to the API server that can delay answers, close connections, or stop passing data.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::operator::{Arguments, CHEAP};
use super::{Cluster, Operator, TokenServer, free_address};

/// How many connections, counted from the first that was opened, pass no more data.
type Silent = watch::Receiver<usize>;

/// A proxy to the API server. It is open until it is closed or the runtime ends.
pub(crate) struct TcpProxy {
    far: SocketAddr,
    near: SocketAddr,
    late: Duration,
    open: Option<JoinHandle<()>>,
    opened: watch::Sender<usize>,
    silent: watch::Sender<usize>,
}

impl Cluster {
    /// Opens a proxy that delays every answer by this time.
    pub(crate) async fn tcp_proxy(&self, late: Duration) -> TcpProxy {
        let (_, far) = self.control_plane.server_url().split_once("://").unwrap();
        let mut tcp_proxy = TcpProxy {
            far: far.parse().unwrap(),
            near: free_address(),
            late,
            open: None,
            opened: watch::Sender::new(0),
            silent: watch::Sender::new(0),
        };
        tcp_proxy.open().await;
        tcp_proxy
    }

    /// Starts a token server that reaches the API server through this proxy.
    pub(crate) fn token_server_through(&self, tcp_proxy: &TcpProxy) -> TokenServer {
        let file = self.kubeconfig_through(tcp_proxy, "token-server");
        let logs = self.control_plane.logs_dir();
        let arguments = Arguments::of("token-server", &[]);
        TokenServer::start(free_address(), &file, logs, arguments)
    }

    /// Starts an operator with the least hashing cost that reaches the API server through this proxy.
    pub(crate) fn operator_through(&self, tcp_proxy: &TcpProxy, flags: &[&str]) -> Operator {
        let file = self.kubeconfig_through(tcp_proxy, "operator");
        let logs = self.control_plane.logs_dir();
        let flags = [flags, &CHEAP].concat();
        Operator::start(&file, logs, Arguments::of("controller", &flags))
    }

    fn kubeconfig_through(&self, tcp_proxy: &TcpProxy, process: &str) -> PathBuf {
        let own = match process {
            "operator" => self.service_account(),
            _ => self.token_service_account(),
        };
        let kubeconfig = std::fs::read_to_string(own).unwrap();
        let kubeconfig =
            kubeconfig.replace(&tcp_proxy.far.to_string(), &tcp_proxy.near.to_string());
        let name = format!("tcp-proxy-{}-{process}.kubeconfig", tcp_proxy.near.port());
        let file = self.control_plane.dir().join(name);
        std::fs::write(&file, kubeconfig).unwrap();
        file
    }
}

impl TcpProxy {
    /// Accepts connections again.
    pub(crate) async fn open(&mut self) {
        let listener = TcpListener::bind(self.near).await.unwrap();
        let (far, late) = (self.far, self.late);
        let (opened, silent) = (self.opened.clone(), self.silent.subscribe());
        self.open = Some(tokio::spawn(async move {
            // Aborting this task ends all connections.
            let mut passing = JoinSet::new();
            while let Ok((caller, _)) = listener.accept().await {
                let server = TcpStream::connect(far).await.unwrap();
                let (from_caller, to_caller) = caller.into_split();
                let (from_server, to_server) = server.into_split();
                opened.send_modify(|opened| *opened += 1);
                let number = *opened.borrow();
                let there = pass(from_caller, to_server, Duration::ZERO);
                passing.spawn(until_silent(there, number, silent.clone()));
                let back = pass(from_server, to_caller, late);
                passing.spawn(until_silent(back, number, silent.clone()));
            }
        }));
    }

    /// Ends all connections and accepts no new ones.
    pub(crate) async fn close(&mut self) {
        let open = self.open.take().unwrap();
        open.abort();
        open.await.unwrap_err();
    }

    /// Makes the open connections pass no data in either direction, without an end. New connections work.
    pub(crate) fn silence(&self) {
        self.silent.send_replace(*self.opened.borrow());
    }

    /// Makes all present and future connections pass no data, without an end.
    pub(crate) fn silence_forever(&self) {
        self.silent.send_replace(usize::MAX);
    }
}

/// Passes data until the connection of this number is silent. Then it waits forever and keeps the connection open.
async fn until_silent(passing: impl Future<Output = ()>, number: usize, mut silent: Silent) {
    let mut passing = std::pin::pin!(passing);
    let fell_silent = async { silent.wait_for(|silent| number <= *silent).await.is_ok() };
    tokio::select! {
        biased;
        true = fell_silent => std::future::pending().await,
        () = &mut passing => {}
    }
}

/// Passes on each piece of data after this delay.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, late: Duration) {
    let (queue, mut waiting) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let read = async move {
        let mut piece = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut piece).await {
            let due = Instant::now() + late;
            if queue.send((due, piece[..length].to_vec())).is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((due, piece)) = waiting.recv().await {
            sleep_until(due).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
    };
    futures::join!(read, write);
}
