//! Public documents: where things are, and the keys that check tokens.
//!
//! Sources: RFC 8414, OpenID Connect Discovery 1.0 section 4, RFC 7517, RFC 9110 section 13.1.2.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use super::App;
use crate::credential::hex;
use crate::credential::signing::Algorithm;
use crate::token::reply::{self, PUBLIC_MAX_AGE_SECONDS};
use crate::token::route::Route;

/// Where OpenID clients look.
pub const OPENID_PATH: &str = "/.well-known/openid-configuration";
/// Where OAuth clients look.
pub const OAUTH_PATH: &str = "/.well-known/oauth-authorization-server";
/// Where the keys are.
pub const JWKS_PATH: &str = "/oauth2/jwks";

/// Where things are and what they can do.
#[derive(Debug, Serialize, ToSchema)]
pub struct Discovery {
    issuer: String,
    token_endpoint: String,
    introspection_endpoint: String,
    jwks_uri: String,
    /// None: there is nobody to send to a browser.
    response_types_supported: [&'static str; 0],
    grant_types_supported: [&'static str; 1],
    token_endpoint_auth_methods_supported: [&'static str; 2],
    introspection_endpoint_auth_methods_supported: [&'static str; 2],
    subject_types_supported: [&'static str; 1],
    id_token_signing_alg_values_supported: Vec<&'static str>,
    claims_supported: [&'static str; 15],
}

impl Discovery {
    fn of(issuer_url: &str) -> Self {
        let auth_methods = ["client_secret_basic", "client_secret_post"];
        Self {
            issuer: issuer_url.to_owned(),
            token_endpoint: format!("{issuer_url}{}", super::oauth::PATH),
            introspection_endpoint: format!("{issuer_url}{}", super::introspect::PATH),
            jwks_uri: format!("{issuer_url}{JWKS_PATH}"),
            response_types_supported: [],
            grant_types_supported: ["client_credentials"],
            token_endpoint_auth_methods_supported: auth_methods,
            introspection_endpoint_auth_methods_supported: auth_methods,
            subject_types_supported: ["public"],
            id_token_signing_alg_values_supported: Algorithm::ALL.map(Algorithm::as_str).into(),
            claims_supported: [
                "iss",
                "sub",
                "aud",
                "exp",
                "nbf",
                "iat",
                "jti",
                "client_id",
                "email",
                "name",
                "namespace",
                "org",
                "currentOrganizationId",
                "roles",
                "secret_revision",
            ],
        }
    }
}

/// Where the endpoints are, for OpenID clients.
#[utoipa::path(
    get,
    path = "/.well-known/openid-configuration",
    operation_id = "discovery",
    responses(
        (status = 200, description = "As OpenID Connect Discovery 1.0 has it", body = Discovery),
        (status = 304, description = "As the caller has it"),
    )
)]
pub async fn handle(State(app): State<App>, request: Request<Body>) -> Response<Body> {
    app.answer(Route::Discovery, request, async |_, request| {
        let document = Discovery::of(&app.service.issuer_url);
        let json = serde_json::to_string(&document).unwrap_or_default();
        public(request.headers(), json)
    })
    .await
}

/// The same for OAuth clients.
#[utoipa::path(
    get,
    path = "/.well-known/oauth-authorization-server",
    operation_id = "oauthDiscovery",
    responses(
        (status = 200, description = "As RFC 8414 has it", body = Discovery),
        (status = 304, description = "As the caller has it"),
    )
)]
pub async fn handle_oauth(app: State<App>, request: Request<Body>) -> Response<Body> {
    handle(app, request).await
}

/// The public keys that check tokens: those to come and those retired included.
#[utoipa::path(
    get,
    path = "/oauth2/jwks",
    operation_id = "jwks",
    responses(
        (status = 200, description = "A JSON Web Key Set (RFC 7517)", body = serde_json::Value),
        (status = 304, description = "As the caller has it"),
        (status = 503, description = "No signing key yet", body = reply::ErrorBody),
    )
)]
pub async fn jwks(State(app): State<App>, request: Request<Body>) -> Response<Body> {
    app.answer(Route::Jwks, request, async |_, request| {
        let signer = app.service.signer.read().clone();
        if let Some(signer) = signer {
            return public(request.headers(), signer.jwks().to_owned());
        }
        let say = "no signing key yet: try again in a moment";
        let response = reply::bad_request(StatusCode::SERVICE_UNAVAILABLE, say);
        reply::with(response, header::RETRY_AFTER, "1")
    })
    .await
}

/// A document that anybody may keep for a while, unless the caller has it already.
pub(super) fn public(headers: &HeaderMap, json: String) -> Response<Body> {
    let tag = format!(
        "\"{}\"",
        hex::encode(&Sha256::digest(json.as_bytes())[..16])
    );
    let known = headers.get_all(header::IF_NONE_MATCH).iter().any(|value| {
        let tags = value.to_str().unwrap_or_default().split(',');
        let mut tags = tags.map(|known| known.trim().trim_start_matches("W/"));
        tags.any(|known| known == tag || known == "*")
    });
    let mut response = if known {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        reply::json(StatusCode::OK, json)
    };
    let cache = format!("public, max-age={PUBLIC_MAX_AGE_SECONDS}");
    let headers = response.headers_mut();
    if let (Ok(cache), Ok(tag)) = (HeaderValue::from_str(&cache), HeaderValue::from_str(&tag)) {
        headers.insert(header::CACHE_CONTROL, cache);
        headers.insert(header::ETAG, tag);
    }
    response
}
