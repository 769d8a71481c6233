//! The Appcircle-compatible call: exchanges name and secret for a token.

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::App;
use crate::token_server::check_secret::Login;
use crate::token_server::claims::Wanted;
use crate::token_server::form::Form;
use crate::token_server::refusal::{Refusal, Refused};
use crate::token_server::reply;
use crate::token_server::request::{self, UnreadableBody};
use crate::token_server::route_label::Route;
use crate::token_server::service::{Caller, Issued, NotIssued, Service};
use crate::token_server::size::MAX_TOKEN_CALL_BYTES;

const FIELDS: [&str; 3] = ["name", "secret", "organizationId"];

/// Name and secret of an API key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "describes the form; the form is read by Form")]
pub struct TokenRequest {
    /// Login name of the key.
    #[schema(example = "ci-upload", min_length = 1)]
    name: String,
    /// Secret of the API key.
    #[schema(
        example = "ak_3h7w9k2m5n8q1r4t_...",
        min_length = 1,
        format = "password"
    )]
    secret: String,
    /// GUID of the organization to act in: that of the key, or a sub-organization that the key
    /// covers. Default: that of the key.
    #[schema(
        pattern = "^(|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$",
        example = "1f0c2a52-7b1d-4a38-9c2e-0f6f6f1f9a10"
    )]
    organization_id: Option<String>,
}

/// A token response.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenResponse {
    /// The token: a JWT as defined by RFC 9068.
    pub access_token: String,
    /// Always Bearer.
    #[schema(example = "Bearer")]
    pub token_type: &'static str,
    /// How long it is valid. Unit: seconds.
    #[schema(example = 3600, minimum = 1)]
    pub expires_in: i64,
    /// The roles in it, separated by spaces, if the caller asked for some of them; only at
    /// `/oauth2/token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

impl From<Issued> for TokenResponse {
    fn from(issued: Issued) -> Self {
        Self {
            access_token: issued.access_token,
            token_type: "Bearer",
            expires_in: issued.expires_in,
            scope: issued.scope,
        }
    }
}

/// Exchange name and secret of an API key for a short-lived access token.
#[utoipa::path(
    post,
    path = "/auth/v1/api-key/token",
    operation_id = "token",
    request_body(content = TokenRequest, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "A token", body = TokenResponse),
        (status = 400, description = "A field is missing, repeated or malformed", body = reply::ErrorBody),
        (status = 401, description = "Name and secret are not those of a usable key; every reason gets the same response", body = reply::ErrorBody),
        (status = 403, description = "The key does not cover this organization", body = reply::ErrorBody),
        (status = 408, description = "The body arrived too slowly", body = reply::ErrorBody),
        (status = 413, description = "The body is too long", body = reply::ErrorBody),
        (status = 415, description = "The body is not a form", body = reply::ErrorBody),
        (status = 429, description = "Too many refused attempts", body = reply::ErrorBody),
        (status = 503, description = "Busy, or without updates from the API server", body = reply::ErrorBody),
    )
)]
pub async fn handle(State(app): State<App>, request: Request<Body>) -> Response<Body> {
    app.answer(Route::Token, request, async |caller, request| {
        let issued = issue(&app.service, caller, request).await?;
        Ok::<_, TokenError>(reply::of(StatusCode::OK, &TokenResponse::from(issued)))
    })
    .await
}

/// Why the call returns no token.
enum TokenError {
    Body(UnreadableBody),
    /// A sentence about a missing, unknown or malformed field.
    Field(String),
    Refused(Refused),
}

impl From<Refused> for TokenError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl IntoResponse for TokenError {
    fn into_response(self) -> Response<Body> {
        match self {
            Self::Body(UnreadableBody(status, message)) => reply::plain_error(status, &message),
            Self::Field(message) => reply::plain_error(StatusCode::BAD_REQUEST, &message),
            Self::Refused(refused) => refused.into_response(),
        }
    }
}

async fn issue(
    service: &Service,
    caller: Caller,
    request: Request<Body>,
) -> Result<Issued, TokenError> {
    let form = request::form(request, MAX_TOKEN_CALL_BYTES).await;
    let form = form.map_err(TokenError::Body)?;
    let (name, secret, organization_id) = fields(&form).map_err(TokenError::Field)?;
    let login = Login::Name(name);
    let proven = service.authenticate(caller, secret, login).await?;
    let wanted = Wanted {
        organization_id,
        scope: None,
    };
    let issued = service.issue(caller, &proven, wanted);
    issued.map_err(|error| match error {
        NotIssued::Refused(refused) => refused.into(),
        NotIssued::Scope(_) => {
            let credential = Some(proven.credential);
            service
                .refuse(caller, Refusal::RoleNotHeld, credential)
                .into()
        }
    })
}

/// Name, secret and organization, or what is wrong with them. An unknown field is an error: with a
/// misspelt `organizationId` the caller would get a token for the wrong organization.
fn fields(form: &Form) -> Result<(&str, &str, Option<Uuid>), String> {
    if let Some(unknown) = form.unknown(&FIELDS) {
        return Err(format!(
            "`{unknown}` is not a field of this call: the fields are `name`, `secret` and `organizationId`"
        ));
    }
    let required = |field| {
        form.get(field)
            .ok_or_else(|| format!("`{field}` is missing"))
    };
    let name = required("name")?;
    // Files end in a newline, and secrets contain no white space.
    let secret = required("secret")?.trim_ascii();
    Ok((name, secret, organization_id(form)?))
}

/// Parses the field `organizationId`.
pub(super) fn organization_id(form: &Form) -> Result<Option<Uuid>, String> {
    let Some(text) = form.get("organizationId") else {
        return Ok(None);
    };
    // Only the hyphenated form: clients of other servers do not know the braced, simple and URN
    // forms.
    let guid = (text.len() == 36).then(|| Uuid::try_parse(text).ok());
    guid.flatten()
        .map(Some)
        .ok_or_else(|| "organizationId must be a valid GUID".to_owned())
}
