//! Token introspection (RFC 7662): a live look, for callers that hold a key themselves.

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{App, oauth};
use crate::token::claims;
use crate::token::reply::{self, oauth_error};
use crate::token::request;
use crate::token::route::Route;
use crate::token::service::Service;
use crate::token::verify::{Login, Proven, Verdict};

/// Where it is.
pub const PATH: &str = "/oauth2/introspect";

/// What is to be looked at. Client id and secret may stand in the Authorization header instead, or an
/// access token of the caller.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the form; the form is read by Form")]
pub struct IntrospectionRequest {
    /// An access token, or the secret of an API key.
    #[schema(min_length = 1)]
    token: String,
    /// Ignored: the two can't be mistaken for each other.
    token_type_hint: Option<String>,
    /// Public id or login name of the caller's API key.
    client_id: Option<String>,
    /// Its secret.
    #[schema(format = "password")]
    client_secret: Option<String>,
}

/// What is known of it.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Introspection {
    /// Whether it is to be trusted now. If not, nothing else is said.
    pub active: bool,
    /// Roles, separated by spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Public id of the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// E-mail address that stands for the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// `access_token` or `api_key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_type: Option<&'static str>,
    /// Time from which it is refused. Unit: seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
    /// When it was issued; tokens only. Unit: seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iat: Option<i64>,
    /// `apikey:<keyId>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// The issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// Its id; tokens only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// Login name of the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Namespace of the `ApiKey`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Organization acted in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
    /// GUID of that organization.
    #[serde(
        rename = "currentOrganizationId",
        skip_serializing_if = "Option::is_none"
    )]
    pub current_organization_id: Option<String>,
    /// Roles that the key holds there now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
}

/// Ask whether an access token or an API key is to be trusted now (RFC 7662).
#[utoipa::path(
    post,
    path = "/oauth2/introspect",
    operation_id = "introspect",
    security((), ("basic" = []), ("bearer" = [])),
    request_body(content = IntrospectionRequest, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "What is known of it", body = Introspection),
        (status = 400, description = "invalid_request", body = reply::ErrorBody),
        (status = 401, description = "invalid_client: the caller is no key that may be used", body = reply::ErrorBody),
        (status = 408, description = "The body came too slowly", body = reply::ErrorBody),
        (status = 413, description = "The body is too long", body = reply::ErrorBody),
        (status = 415, description = "The body is not a form", body = reply::ErrorBody),
        (status = 429, description = "Too many refused attempts", body = reply::ErrorBody),
        (status = 503, description = "temporarily_unavailable", body = reply::ErrorBody),
    )
)]
pub async fn handle(State(app): State<App>, request: Request<Body>) -> Response<Body> {
    app.answer(Route::Introspect, request, async |caller, request| {
        let headers = request.headers().clone();
        let form = match request::form(request).await {
            Ok(form) => form,
            Err(error) => return oauth::unreadable(&error),
        };
        let service = &app.service;
        let bearer = request::bearer(&headers);
        if bearer.is_none_or(|token| service.inspect(token).is_none()) {
            let client = match oauth::client(&headers, &form) {
                Ok(client) => client,
                Err(none) => return none.answer(),
            };
            let login = Login::NameOrId(&client.id);
            let proven = service
                .authenticate(caller, client.secret.trim_ascii(), login)
                .await;
            if let Err(refused) = proven {
                return oauth::refuse(&refused, client.basic);
            }
        }
        if let Err(refused) = service.fresh(caller) {
            return oauth::refuse(&refused, false);
        }
        let Some(token) = form.get("token") else {
            let say = "token is missing";
            return oauth_error(StatusCode::BAD_REQUEST, "invalid_request", say);
        };
        reply::of(StatusCode::OK, &look_at(service, token.trim_ascii()).await)
    })
    .await
}

/// A live look at an access token or a secret.
async fn look_at(service: &Service, token: &str) -> Introspection {
    if let Some((claims, credential)) = service.inspect(token) {
        let roles: Vec<String> = claims.roles.into_iter().map(Into::into).collect();
        return Introspection {
            active: true,
            scope: Some(roles.join(" ")),
            client_id: Some(claims.client_id.into()),
            username: Some(credential.email().to_owned()),
            token_type: Some("access_token"),
            exp: Some(claims.exp),
            iat: Some(claims.iat),
            sub: Some(claims.sub.into()),
            iss: Some(claims.iss.into()),
            jti: Some(claims.jti.into()),
            name: Some(claims.name.into()),
            namespace: Some(claims.namespace.into()),
            org: Some(claims.org.into()),
            current_organization_id: Some(claims.current_organization_id.to_string()),
            roles: Some(roles),
        };
    }
    match prove(service, token).await {
        Some(proven) => of_key(&proven, &service.issuer_url),
        None => Introspection::default(),
    }
}

/// The key of a secret. Nobody is refused here, so nothing is counted as a refusal.
async fn prove(service: &Service, secret: &str) -> Option<Proven> {
    let verdict = match service
        .verifier
        .check(secret, Login::Implied, service.clock.now())
    {
        Verdict::Undecided(question) => {
            let place = service.argon2.decide(&question).await.ok()?;
            service
                .verifier
                .decided(&question, place, service.clock.now())
        }
        verdict @ (Verdict::Proven(_) | Verdict::Refused(..)) => verdict,
    };
    match verdict {
        Verdict::Proven(proven) => Some(proven),
        Verdict::Refused(..) | Verdict::Undecided(_) => None,
    }
}

fn of_key(proven: &Proven, issuer_url: &str) -> Introspection {
    let Ok(grant) = claims::grant_for(proven, None) else {
        return Introspection::default();
    };
    let credential = &proven.credential;
    let key_id = credential.key_id().as_str();
    Introspection {
        active: true,
        scope: Some(grant.roles.join(" ")),
        client_id: Some(key_id.to_owned()),
        username: Some(credential.email().to_owned()),
        token_type: Some("api_key"),
        exp: Some(proven.until.as_second()),
        iat: None,
        sub: Some(format!("apikey:{key_id}")),
        iss: Some(issuer_url.to_owned()),
        jti: None,
        name: Some(credential.login_name.to_string()),
        namespace: Some(credential.key.namespace.to_string()),
        org: Some(grant.organization.clone()),
        current_organization_id: Some(grant.organization_id.to_string()),
        roles: Some(grant.roles.clone()),
    }
}
