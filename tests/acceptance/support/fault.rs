//! A layer of the kube client that loses the n-th write for a key, on its way there or back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::task::{Context, Poll};

use axum::http::{Method, Request, Response};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use tower::{BoxError, Layer, Service};

/// Where the connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Before the request reaches the API server.
    Request,
    /// After the API server has done what was asked.
    Answer,
}

/// What happens to the process then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It goes on.
    GoesOn,
    /// It is dead: nothing more of it arrives.
    Dies,
}

/// The one fault of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// Which write, from 1.
    pub(crate) write: usize,
    pub(crate) lost: Lost,
    pub(crate) then: Then,
}

/// How far a key is.
#[derive(Clone, Debug)]
struct Progress {
    fault: Fault,
    writes: usize,
    happened: bool,
}

/// The faults of keys, by the name of the key. Names must not contain each other.
#[derive(Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<BTreeMap<String, Progress>>>);

impl Faults {
    pub(crate) fn insert(&self, key: &str, fault: Fault) {
        let progress = Progress {
            fault,
            writes: 0,
            happened: false,
        };
        self.0.lock().unwrap().insert(key.to_owned(), progress);
    }

    /// Whether the fault of this key has happened.
    pub(crate) fn happened(&self, key: &str) -> bool {
        self.0.lock().unwrap()[key].happened
    }

    /// A client that has these faults.
    pub(crate) fn client(&self, config: Config) -> Client {
        let builder = ClientBuilder::try_from(config).unwrap();
        builder.with_layer(&FaultLayer(self.clone())).build()
    }

    /// What is to happen to this request.
    fn take(&self, request: &Request<Body>) -> Option<Lost> {
        let path = request.uri().path().to_owned();
        let counts = request.method() != Method::GET && !path.contains("/events");
        let body = request.body().try_clone()?;
        // A body that is at hand is there at once.
        let body = body.collect_bytes().now_or_never()?.unwrap();
        let body = String::from_utf8_lossy(&body).into_owned();
        let mut keys = self.0.lock().unwrap();
        let mut keys = keys.iter_mut();
        let (_, progress) =
            keys.find(|(name, _)| path.contains(*name) || (counts && body.contains(*name)))?;
        if progress.happened {
            return (progress.fault.then == Then::Dies).then_some(Lost::Request);
        }
        progress.writes += usize::from(counts);
        progress.happened = counts && progress.writes == progress.fault.write;
        progress.happened.then_some(progress.fault.lost)
    }
}

#[derive(Clone)]
struct FaultLayer(Faults);

impl<S> Layer<S> for FaultLayer {
    type Service = Faulty<S>;

    fn layer(&self, inner: S) -> Faulty<S> {
        Faulty {
            inner,
            faults: self.0.clone(),
        }
    }
}

#[derive(Clone)]
struct Faulty<S> {
    inner: S,
    faults: Faults,
}

impl<S, B> Service<Request<Body>> for Faulty<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<B>, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let lost = self.faults.take(&request);
        if lost == Some(Lost::Request) {
            return async { Err("the connection was lost".into()) }.boxed();
        }
        let answer = self.inner.call(request);
        async move {
            let answer = answer.await.map_err(Into::into)?;
            match lost {
                Some(_) => Err("the connection was lost".into()),
                None => Ok(answer),
            }
        }
        .boxed()
    }
}
