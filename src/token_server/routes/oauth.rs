//! The token endpoint of OAuth 2.0, for the client credentials grant (RFC 6749 section 4.4).

use std::borrow::Cow;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::App;
use super::token::{TokenResponse, organization_id};
use crate::token_server::check_secret::Login;
use crate::token_server::claims::Wanted;
use crate::token_server::form::Form;
use crate::token_server::refusal::{self, Refused};
use crate::token_server::reply::{self, oauth_error};
use crate::token_server::request::{self, UnreadableBody};
use crate::token_server::route_label::Route;
use crate::token_server::service::{Caller, Issued, NotIssued, Service};
use crate::token_server::size::MAX_TOKEN_CALL_BYTES;
use apikey_credential::Secret;

const CHALLENGE: &str = "Basic realm=\"apikey-operator\", charset=\"UTF-8\"";

/// A request for a token. Client id and secret can be sent in the Authorization header instead.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the form; the form is read by Form")]
pub struct ClientCredentials {
    /// Always `client_credentials`.
    #[schema(pattern = "^client_credentials$", example = "client_credentials")]
    grant_type: String,
    /// Public id or login name of the API key.
    client_id: Option<String>,
    /// Secret of the API key.
    #[schema(format = "password")]
    client_secret: Option<String>,
    /// Some of the roles of the key, separated by spaces. Default: all.
    scope: Option<String>,
    /// GUID of the organization to act in. Default: that of the key.
    #[schema(
        pattern = "^(|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$",
        example = "1f0c2a52-7b1d-4a38-9c2e-0f6f6f1f9a10"
    )]
    #[serde(rename = "organizationId")]
    organization_id: Option<String>,
}

/// Exchange client credentials for a short-lived access token (RFC 6749 section 4.4).
#[utoipa::path(
    post,
    path = "/oauth2/token",
    operation_id = "oauthToken",
    security((), ("basic" = [])),
    request_body(content = ClientCredentials, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "A token", body = TokenResponse),
        (status = 400, description = "invalid_request, unsupported_grant_type or invalid_scope", body = reply::ErrorBody),
        (status = 401, description = "invalid_client", body = reply::ErrorBody),
        (status = 403, description = "access_denied: the key does not cover this organization", body = reply::ErrorBody),
        (status = 408, description = "The body arrived too slowly", body = reply::ErrorBody),
        (status = 413, description = "The body is too long", body = reply::ErrorBody),
        (status = 415, description = "The body is not a form", body = reply::ErrorBody),
        (status = 429, description = "Too many refused attempts", body = reply::ErrorBody),
        (status = 503, description = "temporarily_unavailable", body = reply::ErrorBody),
    )
)]
pub async fn handle(State(app): State<App>, request: Request<Body>) -> Response<Body> {
    app.answer(Route::OauthToken, request, async |caller, request| {
        let issued = issue(&app.service, caller, request).await?;
        Ok::<_, OauthError>(reply::of(StatusCode::OK, &TokenResponse::from(issued)))
    })
    .await
}

async fn issue(
    service: &Service,
    caller: Caller,
    request: Request<Body>,
) -> Result<Issued, OauthError> {
    let headers = request.headers().clone();
    let form = request::form(request, MAX_TOKEN_CALL_BYTES).await;
    let form = form.map_err(OauthError::Body)?;
    let client = client(&headers, &form)?;
    match form.get("grant_type") {
        Some("client_credentials") => {}
        Some(_) => return Err(OauthError::UnsupportedGrantType),
        None => return Err(OauthError::InvalidRequest("grant_type is missing".into())),
    }
    let organization_id =
        organization_id(&form).map_err(|message| OauthError::InvalidRequest(message.into()))?;
    let refused = |refused| OauthError::Refused(refused, client.basic);
    let login = Login::NameOrId(&client.id);
    let secret = client.secret.trim_ascii();
    let proven = service.authenticate(caller, secret, login).await;
    let proven = proven.map_err(refused)?;
    let wanted = Wanted {
        organization_id,
        scope: form.get("scope"),
    };
    let issued = service.issue(caller, &proven, wanted);
    issued.map_err(|error| match error {
        NotIssued::Refused(refusal) => refused(refusal),
        NotIssued::Scope(role) => OauthError::InvalidScope(role),
    })
}

/// The credentials of a client.
pub(super) struct Client {
    pub(super) id: Zeroizing<String>,
    pub(super) secret: Zeroizing<String>,
    /// Whether the client used the Authorization header.
    pub(super) basic: bool,
}

/// An error of RFC 6749 section 5.2.
pub(super) enum OauthError {
    Body(UnreadableBody),
    /// A sentence about the field or header that is wrong.
    InvalidRequest(Cow<'static, str>),
    UnsupportedGrantType,
    /// The credentials are missing or can't be read.
    InvalidClient(&'static str),
    /// A role that the key does not hold; empty if the scope names none.
    InvalidScope(String),
    /// The client is refused, and whether it used Basic credentials.
    Refused(Refused, bool),
}

impl IntoResponse for OauthError {
    fn into_response(self) -> Response<Body> {
        let bad_request = |error, text: &str| oauth_error(StatusCode::BAD_REQUEST, error, text);
        match self {
            Self::Body(UnreadableBody(status, text)) => {
                oauth_error(status, "invalid_request", &text)
            }
            Self::InvalidRequest(text) => bad_request("invalid_request", &text),
            Self::UnsupportedGrantType => bad_request(
                "unsupported_grant_type",
                "the grant type must be client_credentials",
            ),
            Self::InvalidClient(text) => invalid_client(text, true),
            Self::InvalidScope(role) if role.is_empty() => {
                bad_request("invalid_scope", "the scope names no role")
            }
            Self::InvalidScope(role) => {
                let printable: String = role.chars().filter(|c| !c.is_control()).take(63).collect();
                let text = format!("the API key does not hold the role '{printable}'");
                bad_request("invalid_scope", &text)
            }
            Self::Refused(refused, basic) => {
                let (status, text) = refusal::explain(&refused);
                let response = match status {
                    StatusCode::UNAUTHORIZED => invalid_client(text, basic),
                    StatusCode::FORBIDDEN => oauth_error(status, "access_denied", text),
                    _ => oauth_error(status, "temporarily_unavailable", text),
                };
                refusal::with_retry(response, &refused)
            }
        }
    }
}

fn invalid_client(text: &str, challenge: bool) -> Response<Body> {
    let response = oauth_error(StatusCode::UNAUTHORIZED, "invalid_client", text);
    if challenge {
        reply::with(response, header::WWW_AUTHENTICATE, CHALLENGE)
    } else {
        response
    }
}

/// Client id and secret from the header or the body; sending both is an error (RFC 6749 section
/// 2.3). Basic credentials that can't be an API key are ignored if the body has credentials,
/// because they may be for a proxy in between.
pub(super) fn client(headers: &HeaderMap, form: &Form) -> Result<Client, OauthError> {
    let unreadable = "the Authorization header does not contain valid Basic credentials (RFC 7617)";
    let (id, secret) = (form.get("client_id"), form.get("client_secret"));
    let basic = match request::basic(headers) {
        Ok(Some((_, password))) if id.is_some() && secret.is_some() && !is_ours(&password) => None,
        Err(_) if id.is_some() && secret.is_some() => None,
        basic => basic.map_err(|_| OauthError::InvalidClient(unreadable))?,
    };
    match (basic, id, secret) {
        (Some(_), _, Some(_)) => Err(OauthError::InvalidRequest(
            "use the Authorization header or the body, not both".into(),
        )),
        (Some((id, _)), Some(other), None) if id != other => Err(OauthError::InvalidRequest(
            "client_id differs from the Authorization header".into(),
        )),
        (Some((id, secret)), _, None) => Ok(Client {
            id: id.into(),
            secret,
            basic: true,
        }),
        (None, Some(id), Some(secret)) => Ok(Client {
            id: Zeroizing::new(id.to_owned()),
            secret: Zeroizing::new(secret.to_owned()),
            basic: false,
        }),
        (None, _, _) => Err(OauthError::InvalidClient(
            "client_id and client_secret are missing: send them in the body, or with Basic \
             authentication",
        )),
    }
}

fn is_ours(password: &str) -> bool {
    Secret::is_like(password.trim_ascii())
}
