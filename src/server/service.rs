//! Tracks the requests of one connection, each from its head to the end of its response.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::body::{Frame, Incoming, SizeHint};
use parking_lot::Mutex;
use tokio::time::Instant;
use tower::Service as _;

use super::budget::{self, Budget, Share};
use super::connection::Connection;
use super::metrics::PortMetrics;
use super::source::Source;

/// Longest request body that is read: that of an introspection. Unit: bytes.
pub const MAX_BODY_BYTES: usize = 32 * 1024;

/// Address of the other end of the connection, in the extensions of each request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// The state of one connection, shared by its task and the server.
#[derive(Clone, Debug)]
pub(super) struct Shared(Arc<Mutex<Connection>>);

impl Shared {
    pub(super) fn new(now: Instant) -> Self {
        Self(Arc::new(Mutex::new(Connection::new(now))))
    }

    /// Reads or updates the state.
    pub(super) fn with<T>(&self, note: impl FnOnce(&mut Connection) -> T) -> T {
        note(&mut self.0.lock())
    }

    pub(super) fn unsent(&self, waits: bool) {
        self.0.lock().unsent(waits, Instant::now());
    }
}

/// Answers the requests of one connection.
#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) router: Router,
    pub(super) peer: Peer,
    pub(super) connection: Shared,
    /// Memory budget of the requests of this port.
    pub(super) budget: Arc<Budget>,
    pub(super) source: Source,
    /// Whether the source is exempt from the budget per source.
    pub(super) exempt: bool,
    pub(super) metrics: PortMetrics,
}

impl Service {
    /// Charges the budget for the request, if there is room.
    fn room(&self, request: &Request<Incoming>) -> Option<Share> {
        let fields = request.headers().iter();
        let fields = fields.map(|(name, value)| (name.as_str(), value.as_bytes()));
        let body = request.body();
        let length = body.size_hint().upper().unwrap_or(u64::MAX);
        let body_bytes = usize::try_from(length).map_or(MAX_BODY_BYTES, |n| n.min(MAX_BODY_BYTES));
        let bytes = budget::cost_bytes(fields, body_bytes);
        self.budget.take(self.source, self.exempt, bytes)
    }
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<Noted>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let http1 = request.version() < Version::HTTP_2;
        let whole = request.body().is_end_stream();
        let room = self.room(&request);
        let exchange = Exchange::begin(&self.connection, !http1, whole);
        let Some(room) = room else {
            self.metrics.shed();
            let refused = exchange.answer(busy(), http1, None);
            return Box::pin(std::future::ready(Ok(refused)));
        };
        let mut request = request.map(|body| exchange.receive(body, whole));
        request.extensions_mut().insert(self.peer);
        let answer = self.router.clone().call(request);
        Box::pin(async move { Ok(exchange.answer(answer.await?, http1, Some(room))) })
    }
}

/// The response when running requests use the whole memory budget.
fn busy() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let later = HeaderValue::from_static("1");
    response.headers_mut().insert(header::RETRY_AFTER, later);
    response
}

/// A request from its head to the end of its response.
#[derive(Debug)]
struct Exchange {
    connection: Shared,
    since: Instant,
    has_answer: bool,
}

impl Exchange {
    fn begin(connection: &Shared, http2: bool, whole: bool) -> Self {
        let since = Instant::now();
        connection.with(|connection| connection.begin(http2, whole, since));
        Self {
            connection: connection.clone(),
            since,
            has_answer: false,
        }
    }

    /// Wraps the body of the request to track its end.
    fn receive(&self, body: Incoming, whole: bool) -> Body {
        if whole {
            return Body::new(body);
        }
        Body::new(Receiving {
            body,
            connection: self.connection.clone(),
            since: self.since,
        })
    }

    /// Wraps the response to track its end. Over HTTP/1, the response announces whether the
    /// connection ends with it, as it does after a 408 (RFC 9110 section 15.5.9); over HTTP/2 a
    /// frame does that.
    fn answer(
        mut self,
        mut response: Response<Body>,
        http1: bool,
        room: Option<Share>,
    ) -> Response<Noted> {
        let began = std::mem::replace(&mut self.since, Instant::now());
        self.has_answer = true;
        let retired = self.connection.with(|connection| {
            connection.answered(began, self.since);
            connection.is_retired()
        });
        let ends = retired || response.status() == StatusCode::REQUEST_TIMEOUT;
        if ends && http1 {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response.map(|body| Noted {
            body,
            _exchange: self,
            _room: room,
        })
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let now = Instant::now();
        self.connection.with(|connection| {
            if self.has_answer {
                connection.ended(self.since, now);
            } else {
                connection.dropped(self.since, now);
            }
        });
    }
}

/// The body of a request; dropped when it has been read or is no longer wanted.
#[derive(Debug)]
struct Receiving {
    body: Incoming,
    connection: Shared,
    since: Instant,
}

impl HttpBody for Receiving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.connection
                .with(|connection| connection.received(self.since));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.connection
            .with(|connection| connection.received(self.since));
    }
}

/// The body of a response; dropped when it has been handed over.
#[derive(Debug)]
pub(super) struct Noted {
    body: Body,
    _exchange: Exchange,
    _room: Option<Share>,
}

impl HttpBody for Noted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
