//! Public documents: the metadata of the server, and the keys that verify tokens.
//!
//! Sources: RFC 8414, OpenID Connect Discovery 1.0 section 4, RFC 7517.

use apikey_api::endpoints;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use crate::token_server::document::Document;
use crate::token_server::refusal::{Refusal, Refused};
use crate::token_server::reply;
use crate::token_server::route_label::Route;
use apikey_credential::signing::Algorithm;

/// Metadata of the authorization server: its endpoints and capabilities.
#[derive(Debug, Serialize, ToSchema)]
pub struct Discovery {
    issuer: String,
    token_endpoint: String,
    introspection_endpoint: String,
    jwks_uri: String,
    /// Empty, because there is no authorization endpoint for browsers.
    response_types_supported: [&'static str; 0],
    grant_types_supported: [&'static str; 1],
    token_endpoint_auth_methods_supported: [&'static str; 2],
    introspection_endpoint_auth_methods_supported: [&'static str; 2],
    subject_types_supported: [&'static str; 1],
    id_token_signing_alg_values_supported: Vec<&'static str>,
    claims_supported: [&'static str; 15],
}

impl Discovery {
    /// The document of this issuer.
    #[must_use]
    pub fn document(issuer_url: &str) -> Document {
        let json = serde_json::to_string(&Self::of(issuer_url));
        Document::new(json.unwrap_or_default())
    }

    fn of(issuer_url: &str) -> Self {
        let auth_methods = ["client_secret_basic", "client_secret_post"];
        Self {
            issuer: issuer_url.to_owned(),
            token_endpoint: format!("{issuer_url}{}", endpoints::OAUTH_TOKEN),
            introspection_endpoint: format!("{issuer_url}{}", endpoints::INTROSPECTION),
            jwks_uri: format!("{issuer_url}{}", endpoints::JWKS),
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

/// Metadata of the server, for OpenID Connect clients.
#[utoipa::path(
    get,
    path = "/.well-known/openid-configuration",
    operation_id = "discovery",
    responses(
        (status = 200, description = "The metadata, as defined by OpenID Connect Discovery 1.0", body = Discovery),
        (status = 304, description = "Not changed since the caller fetched it"),
    )
)]
pub async fn handle(State(app): State<App>, request: Request<Body>) -> Response<Body> {
    app.answer(Route::Discovery, request, async |_, request| {
        app.discovery.answer(request.headers())
    })
    .await
}

/// Metadata of the server, for OAuth clients.
#[utoipa::path(
    get,
    path = "/.well-known/oauth-authorization-server",
    operation_id = "oauthDiscovery",
    responses(
        (status = 200, description = "The metadata, as defined by RFC 8414", body = Discovery),
        (status = 304, description = "Not changed since the caller fetched it"),
    )
)]
pub async fn handle_oauth(app: State<App>, request: Request<Body>) -> Response<Body> {
    handle(app, request).await
}

/// The public keys that verify tokens, including future and retired ones.
#[utoipa::path(
    get,
    path = "/oauth2/jwks",
    operation_id = "jwks",
    responses(
        (status = 200, description = "A JSON Web Key Set (RFC 7517)", body = serde_json::Value),
        (status = 304, description = "Not changed since the caller fetched it"),
        (status = 503, description = "There is no signing key yet", body = reply::ErrorBody),
    )
)]
pub async fn jwks(State(app): State<App>, request: Request<Body>) -> Response<Body> {
    app.answer(Route::Jwks, request, async |_, request| {
        let signer = app.service.signer.read().clone();
        let signer = signer.ok_or(Refused {
            refusal: Refusal::NoSigningKey,
            retry_after_seconds: Some(1),
        })?;
        Ok::<_, Refused>(signer.jwks().answer(request.headers()))
    })
    .await
}
