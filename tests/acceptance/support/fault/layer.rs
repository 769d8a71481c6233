//! The layer of the kube client.

use std::task::{Context, Poll};

use axum::body::{Body as AnswerBody, Bytes, HttpBody};
use axum::http::{Request, Response};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use serde_json::json;
use tower::{BoxError, Layer, Service};

use super::events;
use super::faults::{Faults, is_list, is_watch};
use super::kinds::{Harm, Kind};
use super::progress::Progress;

impl Faults {
    /// A client for a new process. It ends the effect of earlier crashes.
    pub(crate) fn client(&self, config: Config) -> Client {
        let mut state = self.state.lock().unwrap();
        state.keys.values_mut().for_each(Progress::restart);
        drop(state);
        let builder = ClientBuilder::try_from(config).unwrap();
        builder.with_layer(&FaultLayer(self.clone())).build()
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
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<AnswerBody>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let kind = self.faults.take(&request);
        if kind == Some(Kind::Before(Harm::Crash)) {
            return std::future::ready(Err(lost())).boxed();
        }
        let (faults, open) = (self.faults.clone(), self.faults.open(&request));
        let watched = is_watch(&request).then(|| events::Watched {
            path: request.uri().path().to_owned(),
            is_list: is_list(&request),
        });
        let answer = match kind {
            Some(Kind::Before(harm)) => fail(harm).boxed(),
            Some(Kind::Answer(code)) => std::future::ready(Ok(refusal(code))).boxed(),
            Some(Kind::After(_) | Kind::Events(_) | Kind::Gone) | None => {
                let answer = self.inner.call(request);
                async move { Ok(answer.await.map_err(Into::into)?.map(AnswerBody::new)) }.boxed()
            }
        };
        async move {
            let _open = open;
            let answer = answer.await?;
            match kind {
                Some(Kind::After(Harm::Late)) => {
                    tokio::time::sleep_until(tokio::time::Instant::now() + events::HELD).await;
                    Ok(answer)
                }
                Some(Kind::After(harm)) => fail(harm).await,
                _ => Ok(match watched.filter(|_| answer.status().is_success()) {
                    Some(watched) => answer.map(|body| events::pass(body, faults, watched)),
                    None => answer,
                }),
            }
        }
        .boxed()
    }
}

async fn fail(harm: Harm) -> Result<Response<AnswerBody>, BoxError> {
    if harm == Harm::Silence {
        std::future::pending::<()>().await;
    }
    Err(lost())
}

fn lost() -> BoxError {
    "the connection was lost".into()
}

/// A refusal of the API server. With 429, it asks the client to wait for a second.
fn refusal(code: u16) -> Response<AnswerBody> {
    let mut status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {},
        "status": "Failure", "message": "a fault of the test", "code": code,
    });
    let mut answer = Response::builder().status(code);
    if code == 429 {
        status["details"] = json!({"retryAfterSeconds": 1});
        answer = answer.header("Retry-After", "1");
    }
    answer.body(status.to_string().into()).unwrap()
}
