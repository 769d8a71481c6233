//! The layer of the kube client.

use std::task::{Context, Poll};

use axum::body::{Body as AnswerBody, Bytes, HttpBody, to_bytes};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{Method, Request, Response};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use kube::client::Body;
use serde_json::json;
use tower::{BoxError, Layer, Service};

use super::{Faults, Harm, Kind, events, has, is_watch, late};

#[derive(Clone)]
pub(super) struct FaultLayer(pub(super) Faults);

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
pub(super) struct Faulty<S> {
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
        let meeting = self.faults.take(&request);
        let kind = meeting.as_ref().map(|meeting| meeting.kind);
        if kind == Some(Kind::Before(Harm::Crash)) {
            return std::future::ready(Err(lost())).boxed();
        }
        let (faults, open) = (self.faults.clone(), self.faults.open(&request));
        let shown = Shown::of(&request);
        let answer = match kind {
            Some(Kind::Before(harm)) => fail(harm).boxed(),
            Some(Kind::Answer(code)) => std::future::ready(Ok(refusal(code))).boxed(),
            _ => {
                let answer = self.inner.call(request);
                async move { Ok(answer.await.map_err(Into::into)?.map(AnswerBody::new)) }.boxed()
            }
        };
        async move {
            let _open = open;
            let answer = answer.await?;
            match (kind, meeting, shown) {
                (Some(Kind::After(harm)), ..) => fail(harm).await,
                (Some(Kind::Late(until)), Some(meeting), _) => {
                    late::hold(&faults, &meeting, until, answer).await
                }
                (_, _, Some(shown)) if answer.status().is_success() => {
                    shown.pass(answer, faults).await
                }
                _ => Ok(answer),
            }
        }
        .boxed()
    }
}

/// A watch, or a page of a list.
struct Shown {
    plural: String,
    is_watch: bool,
    begins_with_list: bool,
}

impl Shown {
    fn of(request: &Request<Body>) -> Option<Self> {
        let plural = request.uri().path().rsplit('/').next()?;
        let kinds = ["apikeys", "organizations", "secrets"];
        let is_watch = is_watch(request);
        let is_list = *request.method() == Method::GET && kinds.contains(&plural);
        (is_watch || is_list).then(|| Self {
            plural: plural.to_owned(),
            is_watch,
            begins_with_list: has(request, "sendInitialEvents=true"),
        })
    }

    async fn pass(
        self,
        answer: Response<AnswerBody>,
        faults: Faults,
    ) -> Result<Response<AnswerBody>, BoxError> {
        let Self {
            plural,
            is_watch,
            begins_with_list,
        } = self;
        if is_watch {
            return Ok(answer.map(|body| events::pass(body, faults, plural, begins_with_list)));
        }
        let (mut head, body) = answer.into_parts();
        let page = to_bytes(body, usize::MAX).await?;
        let damaged = events::damaged_page(&faults, &plural, &page);
        head.headers.remove(CONTENT_LENGTH);
        let page = damaged.map_or(page, Bytes::from);
        Ok(Response::from_parts(head, page.into()))
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

/// What the API server answers when it refuses; with 429, it asks to wait for a second.
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
