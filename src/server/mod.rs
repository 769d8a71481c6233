//! The connections of a port: TLS, limits, deadlines, and a shutdown that breaks no requests.
//!
//! | file | pure | responsibility |
//! | --- | --- | --- |
//! | `connection` | yes | the state of one connection, and when it must end |
//! | `table` | yes | the open connections by source: admission and eviction |
//! | `source` | yes | which connections come from the same caller |
//! | `budget` | no | memory of running requests, shared by all connections |
//! | `service`, `io` | no | track the requests and unsent bytes of a connection |
//! | `tls`, `metrics` | no | certificates, metrics |
//!
//! A connection has no timer of its own: twice a second, one pass over all connections finds those
//! that must end.

pub mod budget;
pub mod connection;
mod io;
pub mod metrics;
mod service;
pub mod source;
pub mod table;
pub mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures::FutureExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::budget::Budget;
use self::connection::{Lifetime, NextAction, Reason};
use self::io::Watched;
use self::metrics::PortMetrics;
pub use self::service::{MAX_BODY_BYTES, Peer};
use self::service::{Service, Shared};
use self::source::Source;
use self::table::{Room, Table};
use self::tls::{Acceptor, Tls};

/// Longest head of a request. Unit: bytes.
pub const MAX_HEAD_BYTES: u16 = 32 * 1024;
/// Concurrent streams of one HTTP/2 connection.
const MAX_STREAMS: u32 = 64;
/// Unread bytes of request bodies per HTTP/2 connection: the minimum that RFC 9113 section 6.9.2
/// allows. No body that is read is longer than 32 KiB.
const HTTP2_WINDOW_BYTES: u32 = 65_535;
/// Unsent bytes of responses per HTTP/2 stream.
const HTTP2_UNSENT_BYTES: usize = 16 * 1024;
/// Interval of the pass that ends connections.
const SWEEP: Duration = Duration::from_millis(500);
/// Interval at which a connection that waits for room tries again.
const TRY_AGAIN: Duration = Duration::from_millis(20);
/// Pause after the system failed to accept a connection.
const AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(50);

/// Limits on the number and lifetime of the connections of a port.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Maximum number of open connections.
    pub connections: usize,
    /// Maximum number of open connections of one source.
    pub source_connections: usize,
    /// Networks that are exempt from the limit per source.
    pub exempt: Arc<[IpNet]>,
    /// How long connections may last.
    pub lifetime: Lifetime,
}

/// Serves until `stopped`, then asks callers to reconnect elsewhere and lets running requests
/// finish.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    router: Router,
    limits: Limits,
    metrics: PortMetrics,
    stopped: impl Future<Output = ()>,
) {
    let mut server = Server {
        builder: Arc::new(builder()),
        acceptor: tls.as_ref().map(Tls::acceptor),
        router,
        table: Table::new(limits.connections, limits.source_connections),
        limits,
        metrics,
        budget: Arc::default(),
        tasks: JoinSet::new(),
    };
    let reload = async {
        match tls {
            Some(tls) => tls.reload().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = server.accept(&listener) => {}
        () = reload => {}
        () = stopped => {}
    }
    server.drain(listener).await;
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD_BYTES.into());
    builder
        .http2()
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD_BYTES.into())
        .initial_stream_window_size(HTTP2_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_WINDOW_BYTES)
        .max_send_buf_size(HTTP2_UNSENT_BYTES);
    builder
}

struct Server {
    builder: Arc<auto::Builder<TokioExecutor>>,
    acceptor: Option<Acceptor>,
    router: Router,
    table: Table<Id, Open>,
    limits: Limits,
    metrics: PortMetrics,
    budget: Arc<Budget>,
    tasks: JoinSet<Reason>,
}

/// An open connection.
struct Open {
    connection: Shared,
    close: CancellationToken,
    task: AbortHandle,
}

impl Server {
    /// Accepts connections. Never returns.
    async fn accept(&mut self, listener: &TcpListener) {
        let mut sweep = tokio::time::interval(SWEEP);
        let mut waiting = None;
        loop {
            waiting = waiting.and_then(|(stream, peer)| self.admit(stream, peer));
            tokio::select! {
                biased;
                Some(ended) = self.tasks.join_next_with_id() => self.ended(ended),
                now = sweep.tick() => self.sweep(now),
                () = tokio::time::sleep_until(Instant::now() + TRY_AGAIN), if waiting.is_some() => {}
                accepted = listener.accept(), if waiting.is_none() => match accepted {
                    Ok(newcomer) => waiting = Some(newcomer),
                    Err(error) => {
                        tracing::debug!(%error, "A connection can't be accepted");
                        tokio::time::sleep_until(Instant::now() + AFTER_FAILED_ACCEPT).await;
                    }
                },
            }
        }
    }

    /// Admits a connection, or returns it if it must wait.
    fn admit(&mut self, stream: TcpStream, peer: SocketAddr) -> Option<(TcpStream, SocketAddr)> {
        let now = Instant::now();
        let source = Source::of(peer.ip());
        let exempt = source::is_in(peer.ip(), &self.limits.exempt);
        let evictable = |open: &Open| open.connection.with(|connection| connection.evictable(now));
        match self.table.room(source, exempt, evictable) {
            Room::Wait => return Some((stream, peer)),
            Room::SourceLimit => {
                self.metrics.refused(Reason::SourceLimit);
                return None;
            }
            Room::After(evicted) => {
                for id in evicted {
                    self.cut(id, Reason::Evicted);
                }
            }
        }
        self.start(stream, peer, (source, exempt));
        None
    }

    fn start(&mut self, stream: TcpStream, peer: SocketAddr, (source, exempt): (Source, bool)) {
        let connection = Shared::new(Instant::now());
        let close = CancellationToken::new();
        let service = Service {
            router: self.router.clone(),
            peer: Peer(peer),
            connection: connection.clone(),
            budget: Arc::clone(&self.budget),
            source,
            exempt,
            metrics: self.metrics.clone(),
        };
        let (builder, closing) = (Arc::clone(&self.builder), close.clone());
        let acceptor = self.acceptor.clone();
        let task = self.tasks.spawn(async move {
            // Otherwise the delayed acknowledgement of their first part delays responses.
            let _ = stream.set_nodelay(true);
            match acceptor {
                None => exchange(&builder, stream, service, closing).await,
                Some(acceptor) => match acceptor.now().accept(stream).await {
                    Ok(stream) => exchange(&builder, stream, service, closing).await,
                    Err(_) => Reason::Failed,
                },
            }
        });
        self.metrics.opened();
        let id = task.id();
        let open = Open {
            connection,
            close,
            task,
        };
        self.table.insert(source, id, open);
    }

    /// Ends the connections that must end.
    fn sweep(&mut self, now: Instant) {
        let mut cut = Vec::new();
        for (id, open) in self.table.iter() {
            open.connection.with(|connection| {
                match connection.next_action(&self.limits.lifetime, now) {
                    NextAction::Keep => {}
                    NextAction::Retire(reason) => connection.retire(reason),
                    NextAction::Close(reason) => {
                        connection.close(reason, now);
                        open.close.cancel();
                    }
                    NextAction::Cut(reason) => cut.push((id, reason)),
                }
            });
        }
        for (id, reason) in cut {
            self.cut(id, reason);
        }
    }

    fn cut(&mut self, id: Id, reason: Reason) {
        if let Some(open) = self.table.remove(id) {
            open.task.abort();
            self.metrics.closed(reason);
        }
    }

    fn ended(&mut self, ended: Result<(Id, Reason), JoinError>) {
        let (id, reason) = match ended {
            Ok(ended) => ended,
            Err(error) => (error.id(), Reason::Failed),
        };
        if let Some(open) = self.table.remove(id) {
            let known = open.connection.with(|connection| connection.reason());
            self.metrics.closed(known.unwrap_or(reason));
        }
    }

    /// Asks every caller to reconnect elsewhere, and waits until running requests have finished.
    async fn drain(mut self, listener: TcpListener) {
        // Connections in the accept queue of the system would be reset.
        while let Some(Ok((stream, peer))) = listener.accept().now_or_never() {
            let _ = self.admit(stream, peer);
        }
        drop(listener);
        for (_, open) in self.table.iter() {
            let retire = |connection: &mut connection::Connection| {
                connection.retire(Reason::Shutdown);
            };
            open.connection.with(retire);
        }
        let end = tokio::time::sleep_until(Instant::now() + connection::DRAIN);
        let mut end = std::pin::pin!(end);
        let mut sweep = tokio::time::interval(SWEEP);
        while !self.table.is_empty() {
            tokio::select! {
                Some(ended) = self.tasks.join_next_with_id() => self.ended(ended),
                now = sweep.tick() => self.sweep(now),
                () = &mut end => return,
            }
        }
    }
}

/// Answers the requests of a connection until it ends.
async fn exchange<S>(
    builder: &auto::Builder<TokioExecutor>,
    stream: S,
    service: Service,
    close: CancellationToken,
) -> Reason
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = Watched::new(stream, service.connection.clone());
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let result = tokio::select! {
        result = serving.as_mut() => result,
        () = close.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    match result {
        Ok(()) => Reason::Caller,
        Err(_) => Reason::Failed,
    }
}
