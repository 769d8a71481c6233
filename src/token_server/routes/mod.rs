//! The routes, one file per topic.

pub mod authz;
pub mod discovery;
pub mod introspect;
pub mod oauth;
pub mod token;

use apikey_api::endpoints::{self, AUTHZ, AUTHZ_WITH};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{any, get, post};
use ipnet::IpNet;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::document::Document;
use super::request::remote;
use super::route_label::Route;
use super::service::{Caller, Service};
use super::{reply, span};

/// State that each handler gets.
#[derive(Clone, Debug)]
pub struct App {
    /// State that all routes share.
    pub service: Arc<Service>,
    /// The metadata document.
    pub discovery: Document,
    /// The OpenAPI description.
    pub openapi: Document,
    /// Networks of proxies whose X-Forwarded-For header is trusted.
    pub trusted_proxies: Arc<[IpNet]>,
}

/// All routes, at their own paths and below the path of the issuer, if it has one. Discovery
/// advertises the paths below the issuer. The bare paths serve callers behind a proxy that strips
/// the issuer path.
pub fn router(app: App, issuer_path: &str) -> Router {
    let mut router = routes();
    if !issuer_path.is_empty() {
        // RFC 8414 section 3.1 puts the path of the issuer last.
        router = router
            .nest(issuer_path, routes())
            .route(
                &format!("{}{issuer_path}", endpoints::OPENID_CONFIGURATION),
                get(discovery::handle),
            )
            .route(
                &format!("{}{issuer_path}", endpoints::OAUTH_METADATA),
                get(discovery::handle_oauth),
            );
    }
    router
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .with_state(app)
}

fn routes() -> Router<App> {
    Router::new()
        .route(endpoints::TOKEN, post(token::handle))
        .route(endpoints::OAUTH_TOKEN, post(oauth::handle))
        .route(endpoints::INTROSPECTION, post(introspect::handle))
        .route(endpoints::OPENID_CONFIGURATION, get(discovery::handle))
        .route(endpoints::OAUTH_METADATA, get(discovery::handle_oauth))
        .route(endpoints::JWKS, get(discovery::jwks))
        .route(AUTHZ, any(authz::handle))
        .route(&format!("{AUTHZ}/"), any(authz::handle))
        .route(&format!("{AUTHZ}/{{*original}}"), any(authz::handle))
        .route(
            &format!("{AUTHZ_WITH}/{{requirement}}"),
            any(authz::handle_with),
        )
        .route(
            &format!("{AUTHZ_WITH}/{{requirement}}/"),
            any(authz::handle_with),
        )
        .route(
            &format!("{AUTHZ_WITH}/{{requirement}}/{{*original}}"),
            any(authz::handle_with),
        )
        .route(endpoints::OPENAPI, get(describe))
}

impl App {
    /// Answers one request: determines its caller, counts it and measures its time.
    async fn answer<R: IntoResponse>(
        &self,
        route: Route,
        request: Request<Body>,
        respond: impl AsyncFnOnce(Caller, Request<Body>) -> R,
    ) -> Response<Body> {
        let begun = Instant::now();
        let caller = Caller {
            route,
            remote: remote(&request, &self.trusted_proxies),
        };
        let span = span::begin(route, request.headers());
        let response = respond(caller, request).instrument(span.clone()).await;
        let response = response.into_response();
        span::end(&span, response.status());
        let code = response.status().as_u16();
        self.service.metrics.answered(route, code, begun.elapsed());
        response
    }
}

async fn describe(State(app): State<App>, request: Request<Body>) -> Response<Body> {
    app.answer(Route::Openapi, request, async |_, request| {
        app.openapi.answer(request.headers())
    })
    .await
}

/// Why no route answers a request.
enum NoRoute {
    /// The path is unknown.
    Path,
    /// The path does not support the method.
    Method,
}

impl IntoResponse for NoRoute {
    fn into_response(self) -> Response<Body> {
        let (status, message) = match self {
            Self::Path => (
                StatusCode::NOT_FOUND,
                "unknown path: GET /openapi.json lists the paths",
            ),
            Self::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                "this path does not support this method: GET /openapi.json lists the methods",
            ),
        };
        reply::plain_error(status, message)
    }
}

async fn not_found(State(app): State<App>, request: Request<Body>) -> Response<Body> {
    app.answer(Route::Unknown, request, async |_, _| NoRoute::Path)
        .await
}

async fn not_allowed(State(app): State<App>, request: Request<Body>) -> Response<Body> {
    app.answer(Route::Unknown, request, async |_, _| NoRoute::Method)
        .await
}
