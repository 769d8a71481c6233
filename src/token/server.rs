//! Connections: TLS, deadlines, a cap, and a clean end.

use std::convert::Infallible;
use std::future::Ready;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response};
use axum::routing::future::RouteFuture;
use axum_server::Handle;
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;
use tower::Service;

use super::request::Peer;
use super::size::MAX_HEAD_BYTES;
use crate::process::Process;

/// Longest wait for the first whole request of a connection.
const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// Longest wait for the head of a further request: how long an idle connection is kept.
const IDLE: Duration = Duration::from_mins(1);
/// Streams of one HTTP/2 connection at the same time.
const MAX_STREAMS: u32 = 64;
/// How often certificate files are looked at.
const LOOK_AT_FILES: Duration = Duration::from_secs(10);
/// Longest wait for running requests at the end.
const DRAIN: Duration = Duration::from_secs(15);

/// Serves until the process is stopped, then lets running requests end.
///
/// # Errors
/// The address can't be listened on, or the certificate can't be used.
pub async fn serve(
    listen: SocketAddr,
    tls_files: Option<(PathBuf, PathBuf)>,
    max_connections: usize,
    router: Router,
    process: &Process,
) -> Result<(), Box<dyn std::error::Error>> {
    let listener = std::net::TcpListener::bind(listen)
        .map_err(|error| format!("--token-listen {listen}: {error}"))?;
    let address = listener.local_addr()?;
    let handle = Handle::new();
    let mut server = axum_server::from_tcp(listener)?
        .handle(handle.clone())
        .first_request_timeout(FIRST_REQUEST);
    let builder = server.http_builder();
    builder
        .http1()
        .header_read_timeout(IDLE)
        .max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
        .keep_alive_interval(IDLE);
    let connections = Connections {
        router,
        permits: PollSemaphore::new(Arc::new(Semaphore::new(max_connections))),
        permit: None,
    };
    let stop = async {
        process.stopped().await;
        handle.graceful_shutdown(Some(DRAIN));
        std::future::pending::<()>().await;
    };
    if let Some(files) = tls_files {
        let content = read(&files).await?;
        let tls = RustlsConfig::from_pem(content.0.clone(), content.1.clone()).await;
        let tls = tls.map_err(|error| unusable(&files, &error))?;
        tracing::info!(%address, "Serving tokens over TLS");
        let acceptor = RustlsAcceptor::new(tls.clone()).acceptor(NoDelayAcceptor::new());
        tokio::select! {
            result = server.acceptor(acceptor).serve(connections) => result?,
            () = reload(tls, files, content) => {}
            () = stop => {}
        }
    } else {
        tracing::info!(%address, "Serving tokens without TLS, for use behind what ends TLS");
        let server = server.acceptor(NoDelayAcceptor::new());
        tokio::select! {
            result = server.serve(connections) => result?,
            () = stop => {}
        }
    }
    Ok(())
}

/// Certificate chain and private key, in PEM form.
type Pem = (Vec<u8>, Vec<u8>);

async fn read(files: &(PathBuf, PathBuf)) -> Result<Pem, String> {
    let read = async |path: &PathBuf| {
        let content = tokio::fs::read(path).await;
        content.map_err(|error| format!("TLS file {}: {error}", path.display()))
    };
    Ok((read(&files.0).await?, read(&files.1).await?))
}

fn unusable(files: &(PathBuf, PathBuf), error: &std::io::Error) -> String {
    let (certificate, key) = (files.0.display(), files.1.display());
    format!("TLS files {certificate} and {key} can't be used: {error}")
}

/// Takes in changed certificate files, for ever. Ones that can't be used leave those before in use.
/// Files are compared by content: a mounted Secret changes by a symbolic link, which gives no
/// reliable event.
async fn reload(tls: RustlsConfig, files: (PathBuf, PathBuf), mut content: Pem) {
    let mut look = tokio::time::interval(LOOK_AT_FILES);
    loop {
        look.tick().await;
        let now = match read(&files).await {
            Ok(now) if now == content => continue,
            Ok(now) => now,
            Err(error) => {
                tracing::error!(%error, "Keeping the certificate in use");
                continue;
            }
        };
        match tls.reload_from_pem(now.0.clone(), now.1.clone()).await {
            Ok(()) => tracing::info!("Took in a new certificate"),
            Err(error) => {
                let error = unusable(&files, &error);
                tracing::error!(error, "Keeping the certificate in use");
            }
        }
        content = now;
    }
}

/// Makes a service for each connection, and none while there are too many.
struct Connections {
    router: Router,
    permits: PollSemaphore,
    permit: Option<OwnedSemaphorePermit>,
}

impl Service<SocketAddr> for Connections {
    type Response = Connection;
    type Error = Infallible;
    type Future = Ready<Result<Connection, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.permit.is_none() {
            self.permit = std::task::ready!(self.permits.poll_acquire(cx));
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, peer: SocketAddr) -> Self::Future {
        std::future::ready(Ok(Connection {
            router: self.router.clone(),
            peer: Peer(peer),
            _permit: self.permit.take().map(Arc::new),
        }))
    }
}

/// Answers the requests of one connection.
#[derive(Clone)]
struct Connection {
    router: Router,
    peer: Peer,
    /// Given back when the connection ends.
    _permit: Option<Arc<OwnedSemaphorePermit>>,
}

impl<B> Service<Request<B>> for Connection
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = RouteFuture<Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        self.router.call(request)
    }
}
