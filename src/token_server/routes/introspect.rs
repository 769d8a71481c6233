//! Token introspection (RFC 7662): checks a token against the current state of its key. Callers
//! must themselves have a key of the same root organization.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::oauth::{self, OauthError};
use crate::token_server::check_secret::{Login, Proven};
use crate::token_server::claims::{self, Audience, Claims};
use crate::token_server::form::Form;
use crate::token_server::index::Credential;
use crate::token_server::refusal::Refused;
use crate::token_server::reply;
use crate::token_server::request;
use crate::token_server::route_label::Route;
use crate::token_server::service::{Caller, Service};
use crate::token_server::size::MAX_INTROSPECTION_BYTES;
use apikey_credential::Secret;
use std::sync::Arc;

/// The error for a caller that authenticates with an unsuitable access token.
const BAD_BEARER: &str = "the Bearer token is not a valid access token for this token server: \
    its audience must be that of the token server or the issuer. \
    Alternatively, send client_id and client_secret";

/// A request for introspection. Client id and secret, or an access token of the caller, can be sent
/// in the Authorization header instead.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the form; the form is read by Form")]
pub struct IntrospectionRequest {
    /// An access token, or the secret of an API key.
    #[schema(min_length = 1)]
    token: String,
    /// Ignored, because the text itself shows which of the two it is.
    token_type_hint: Option<String>,
    /// Public id or login name of the caller's API key.
    client_id: Option<String>,
    /// Secret of the caller's API key.
    #[schema(format = "password")]
    client_secret: Option<String>,
}

/// The result of an introspection.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Introspection {
    /// Whether the token or secret is valid now. If false, all other fields are omitted.
    pub active: bool,
    /// Roles, separated by spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Public id of the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// E-mail address that represents the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// `access_token` or `api_key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_type: Option<&'static str>,
    /// It is refused from this time. Unit: seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
    /// When it was issued; tokens only. Unit: seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iat: Option<i64>,
    /// Audience of the token; for a secret, the audience of the key's tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aud: Option<Audience<'static>>,
    /// `apikey:<keyId>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// The issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// Id of the token; tokens only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// Login name of the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Namespace of the `ApiKey`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Organization that the key acts in.
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
    /// Number of the secret, or of the secret that the token was issued for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_revision: Option<i64>,
}

/// Check whether an access token or an API key is valid now (RFC 7662).
#[utoipa::path(
    post,
    path = "/oauth2/introspect",
    operation_id = "introspect",
    security((), ("basic" = []), ("bearer" = [])),
    request_body(content = IntrospectionRequest, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The current state of the token or secret", body = Introspection),
        (status = 400, description = "invalid_request", body = reply::ErrorBody),
        (status = 401, description = "invalid_client: the caller does not present a usable key", body = reply::ErrorBody),
        (status = 408, description = "The body arrived too slowly", body = reply::ErrorBody),
        (status = 413, description = "The body is too long", body = reply::ErrorBody),
        (status = 415, description = "The body is not a form", body = reply::ErrorBody),
        (status = 429, description = "Too many refused attempts", body = reply::ErrorBody),
        (status = 503, description = "temporarily_unavailable", body = reply::ErrorBody),
    )
)]
pub async fn handle(State(app): State<App>, request: Request<Body>) -> Response<Body> {
    app.answer(Route::Introspect, request, async |caller, request| {
        let result = introspect(&app.service, caller, request).await?;
        Ok::<_, OauthError>(reply::of(StatusCode::OK, &result))
    })
    .await
}

async fn introspect(
    service: &Service,
    caller: Caller,
    request: Request<Body>,
) -> Result<Introspection, OauthError> {
    let headers = request.headers().clone();
    let form = request::form(request, MAX_INTROSPECTION_BYTES).await;
    let form = form.map_err(OauthError::Body)?;
    let bearer = request::bearer(&headers);
    let requester = match bearer.and_then(|token| by_token(service, token)) {
        Some(requester) => requester,
        None => by_secret(service, caller, &headers, &form).await?,
    };
    let refused = |refused| OauthError::Refused(refused, false);
    service.fresh(caller).map_err(refused)?;
    let token = form.get("token");
    let token = token.ok_or_else(|| OauthError::InvalidRequest("token is missing".into()))?;
    let found = look_up(service, caller, &requester, token.trim_ascii()).await;
    found.map_err(refused)
}

/// Authenticates the caller by an access token for this server. A token for another audience is
/// rejected, because otherwise the service that receives it could introspect in the name of its
/// holder.
fn by_token(service: &Service, token: &str) -> Option<Arc<Credential>> {
    let (claims, requester) = service.inspect(token)?;
    let is_issuer = |name: &str| name == service.issuer_url;
    let for_us = claims.aud.has_one_of(&service.audiences) || claims.aud.names().any(is_issuer);
    for_us.then_some(requester)
}

/// Authenticates the caller by the secret of its key.
async fn by_secret(
    service: &Service,
    caller: Caller,
    headers: &HeaderMap,
    form: &Form,
) -> Result<Arc<Credential>, OauthError> {
    let client = oauth::client(headers, form).map_err(|error| {
        if matches!(error, OauthError::InvalidClient(_)) && request::bearer(headers).is_some() {
            return OauthError::InvalidClient(BAD_BEARER);
        }
        error
    })?;
    let login = Login::NameOrId(&client.id);
    let secret = client.secret.trim_ascii();
    let proven = service.authenticate(caller, secret, login).await;
    let proven = proven.map_err(|refused| OauthError::Refused(refused, client.basic))?;
    Ok(proven.credential)
}

/// Checks an access token or a secret against the current state of its key. For a key of another
/// root organization the result is inactive.
///
/// # Errors
/// The secret can't be checked now, or too many were wrong.
async fn look_up(
    service: &Service,
    caller: Caller,
    requester: &Credential,
    token: &str,
) -> Result<Introspection, Refused> {
    if !Secret::is_like(token) {
        let found = service.inspect(token);
        let found = found.filter(|(_, credential)| requester.shares_root_org_with(credential));
        return Ok(
            found.map_or_else(Introspection::default, |(claims, credential)| {
                of_token(claims, &credential)
            }),
        );
    }
    match service.authenticate(caller, token, Login::Implied).await {
        Ok(proven) if requester.shares_root_org_with(&proven.credential) => {
            Ok(of_key(service, &proven))
        }
        Ok(_) => Ok(Introspection::default()),
        Err(Refused {
            refusal,
            retry_after_seconds: None,
        }) if refusal.is_unproven() => Ok(Introspection::default()),
        Err(refused) => Err(refused),
    }
}

fn of_token(claims: Claims<'static>, credential: &Credential) -> Introspection {
    let roles: Vec<String> = claims.roles.into_iter().map(Into::into).collect();
    Introspection {
        active: true,
        scope: Some(roles.join(" ")),
        client_id: Some(claims.client_id.into()),
        username: Some(credential.email().to_owned()),
        token_type: Some("access_token"),
        exp: Some(claims.exp),
        iat: Some(claims.iat),
        aud: Some(claims.aud),
        sub: Some(claims.sub.into()),
        iss: Some(claims.iss.into()),
        jti: Some(claims.jti.into()),
        name: Some(claims.name.into()),
        namespace: Some(claims.namespace.into()),
        org: Some(claims.org.into()),
        current_organization_id: Some(claims.current_organization_id.to_string()),
        roles: Some(roles),
        secret_revision: claims.secret_revision,
    }
}

fn of_key(service: &Service, proven: &Proven) -> Introspection {
    let Ok(grant) = claims::grant_for(proven, None) else {
        return Introspection::default();
    };
    let credential = &proven.credential;
    let key_id = credential.key_id().as_str();
    let audiences = service.issuer().audiences_of(credential.audiences());
    Introspection {
        active: true,
        scope: Some(grant.roles.join(" ")),
        client_id: Some(key_id.to_owned()),
        username: Some(credential.email().to_owned()),
        token_type: Some("api_key"),
        exp: Some(proven.until.as_second()),
        iat: None,
        aud: Some(Audience::of(audiences).into_owned()),
        sub: Some(format!("apikey:{key_id}")),
        iss: Some(service.issuer_url.clone()),
        jti: None,
        name: Some(credential.login_name.to_string()),
        namespace: Some(credential.key.namespace.to_string()),
        org: Some(grant.organization.clone()),
        current_organization_id: Some(grant.organization_id.to_string()),
        roles: Some(grant.roles.clone()),
        secret_revision: Some(proven.revision),
    }
}
