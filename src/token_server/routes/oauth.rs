//! The token endpoint of OAuth 2.0, for the client credentials grant (RFC 6749 section 4.4).

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, Response, StatusCode, header};
use serde::Deserialize;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::App;
use super::token::{TokenResponse, organization_id};
use crate::token_server::claims::Wanted;
use crate::token_server::form::Form;
use crate::token_server::refusal::Refused;
use crate::token_server::reply::{self, oauth_error};
use crate::token_server::request::{self, Unreadable};
use crate::token_server::route_label::Route;
use crate::token_server::service::NotIssued;
use crate::token_server::size::MAX_TOKEN_CALL_BYTES;
use crate::token_server::verify::Login;
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
        (status = 408, description = "The body came too slowly", body = reply::ErrorBody),
        (status = 413, description = "The body is too long", body = reply::ErrorBody),
        (status = 415, description = "The body is not a form", body = reply::ErrorBody),
        (status = 429, description = "Too many refused attempts", body = reply::ErrorBody),
        (status = 503, description = "temporarily_unavailable", body = reply::ErrorBody),
    )
)]
pub async fn handle(State(app): State<App>, request: Request<Body>) -> Response<Body> {
    app.answer(Route::OauthToken, request, async |caller, request| {
        let headers = request.headers().clone();
        let form = match request::form(request, MAX_TOKEN_CALL_BYTES).await {
            Ok(form) => form,
            Err(error) => return unreadable(&error),
        };
        let client = match client(&headers, &form) {
            Ok(client) => client,
            Err(none) => return none.answer(),
        };
        match form.get("grant_type") {
            Some("client_credentials") => {}
            Some(_) => {
                let say = "the grant type must be client_credentials";
                return oauth_error(StatusCode::BAD_REQUEST, "unsupported_grant_type", say);
            }
            None => return invalid_request("grant_type is missing"),
        }
        let organization_id = match organization_id(&form) {
            Ok(id) => id,
            Err(say) => return invalid_request(&say),
        };
        let service = &app.service;
        let login = Login::NameOrId(&client.id);
        let proven = service
            .authenticate(caller, client.secret.trim_ascii(), login)
            .await;
        let proven = match proven {
            Ok(proven) => proven,
            Err(refused) => return refuse(&refused, client.basic),
        };
        let wanted = Wanted {
            organization_id,
            scope: form.get("scope"),
        };
        match service.issue(caller, &proven, wanted) {
            Ok(issued) => reply::of(StatusCode::OK, &TokenResponse::from(issued)),
            Err(NotIssued::Refused(refused)) => refuse(&refused, client.basic),
            Err(NotIssued::Scope(role)) => {
                let printable: String = role.chars().filter(|c| !c.is_control()).take(63).collect();
                let say = if role.is_empty() {
                    "the scope names no role".to_owned()
                } else {
                    format!("the API key does not hold the role '{printable}'")
                };
                oauth_error(StatusCode::BAD_REQUEST, "invalid_scope", &say)
            }
        }
    })
    .await
}

/// The credentials of a client.
pub(super) struct Client {
    pub(super) id: Zeroizing<String>,
    pub(super) secret: Zeroizing<String>,
    /// Whether the client used the Authorization header.
    pub(super) basic: bool,
}

/// Why a request has no usable client credentials.
pub(super) enum NoClient {
    /// The request contradicts itself.
    Contradiction(&'static str),
    /// The credentials are missing or can't be read.
    NoCredentials(&'static str),
}

impl NoClient {
    pub(super) fn answer(&self) -> Response<Body> {
        match self {
            Self::Contradiction(say) => invalid_request(say),
            Self::NoCredentials(say) => invalid_client(say, true),
        }
    }
}

/// Client id and secret from the header or the body; sending both is an error (RFC 6749 section
/// 2.3). Basic credentials that can't be an API key are ignored if the body has credentials,
/// because they may be for a proxy in between.
pub(super) fn client(headers: &HeaderMap, form: &Form) -> Result<Client, NoClient> {
    const BOTH: NoClient =
        NoClient::Contradiction("use the Authorization header or the body, not both");
    let unreadable = "the Authorization header is not Basic credentials as RFC 7617 has them";
    let (id, secret) = (form.get("client_id"), form.get("client_secret"));
    let basic = match request::basic(headers) {
        Ok(Some((_, password))) if id.is_some() && secret.is_some() && !is_ours(&password) => None,
        Err(_) if id.is_some() && secret.is_some() => None,
        basic => basic.map_err(|_| NoClient::NoCredentials(unreadable))?,
    };
    match (basic, id, secret) {
        (Some(_), _, Some(_)) => Err(BOTH),
        (Some((id, _)), Some(other), None) if id != other => Err(NoClient::Contradiction(
            "client_id differs from the Authorization header",
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
        (None, _, _) => Err(NoClient::NoCredentials(
            "client_id and client_secret are missing: send them in the body, or by Basic \
             authentication",
        )),
    }
}

fn is_ours(password: &str) -> bool {
    Secret::is_like(password.trim_ascii())
}

/// The response to a body that can't be read, in the format of RFC 6749 section 5.2.
pub(super) fn unreadable(Unreadable(status, say): &Unreadable) -> Response<Body> {
    oauth_error(*status, "invalid_request", say)
}

fn invalid_request(say: &str) -> Response<Body> {
    oauth_error(StatusCode::BAD_REQUEST, "invalid_request", say)
}

fn invalid_client(say: &str, challenge: bool) -> Response<Body> {
    let response = oauth_error(StatusCode::UNAUTHORIZED, "invalid_client", say);
    if challenge {
        reply::with(response, header::WWW_AUTHENTICATE, CHALLENGE)
    } else {
        response
    }
}

/// The response to a refused client.
pub(super) fn refuse(refused: &Refused, basic: bool) -> Response<Body> {
    let (status, say) = reply::explain(refused);
    let response = match status {
        StatusCode::UNAUTHORIZED => invalid_client(say, basic),
        StatusCode::FORBIDDEN => oauth_error(status, "access_denied", say),
        _ => oauth_error(status, "temporarily_unavailable", say),
    };
    reply::with_retry(response, refused)
}
