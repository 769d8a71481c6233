//! Responses: always JSON, and never cached unless they are public.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::refusal::{Refusal, Refused};

/// The common response to all callers that fail to authenticate.
pub const UNPROVEN: &str = "{\"error\":\"invalid API key name or secret\"}";
/// How long caches may store public documents. Unit: seconds.
pub const PUBLIC_MAX_AGE_SECONDS: u32 = 300;

/// An error response.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"error": "invalid API key name or secret"}))]
pub struct ErrorBody {
    /// Human-readable description; at `/oauth2` routes an error code of RFC 6749.
    pub error: String,
    /// Human-readable description; only at `/oauth2` routes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_description: Option<String>,
}

/// A JSON response with this body.
pub fn json(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let set = |name: HeaderName, value: &'static str| (name, HeaderValue::from_static(value));
    headers.extend([
        set(header::CONTENT_TYPE, "application/json"),
        set(header::CACHE_CONTROL, "no-store"),
    ]);
    response
}

/// A response with this value as JSON.
pub fn of(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(body) {
        Ok(bytes) => json(status, bytes),
        Err(_) => json(
            StatusCode::INTERNAL_SERVER_ERROR,
            "{\"error\":\"internal error\"}",
        ),
    }
}

/// An error in the format of the Appcircle-compatible call.
#[must_use]
pub fn plain_error(status: StatusCode, error: &str) -> Response<Body> {
    let body = ErrorBody {
        error: error.to_owned(),
        error_description: None,
    };
    of(status, &body)
}

/// An error in the format of RFC 6749 section 5.2.
#[must_use]
pub fn oauth_error(status: StatusCode, error: &str, description: &str) -> Response<Body> {
    let body = ErrorBody {
        error: error.to_owned(),
        error_description: Some(description.to_owned()),
    };
    of(status, &body)
}

/// Status code and text of a refusal.
#[must_use]
pub const fn explain(refused: &Refused) -> (StatusCode, &'static str) {
    const WAIT: (StatusCode, &str) = (
        StatusCode::TOO_MANY_REQUESTS,
        "too many refused attempts: wait before the next one",
    );
    match refused.refusal {
        refusal if refusal.is_unproven() && refused.retry_after_seconds.is_some() => WAIT,
        Refusal::TooManyFailures => WAIT,
        Refusal::OrganizationNotCovered => (
            StatusCode::FORBIDDEN,
            "the API key has no access to this organization",
        ),
        Refusal::RoleNotHeld => (StatusCode::FORBIDDEN, "the API key lacks a required role"),
        Refusal::AudienceNotCovered => (
            StatusCode::FORBIDDEN,
            "the API key is not for this audience",
        ),
        Refusal::WrongAudience => (
            StatusCode::UNAUTHORIZED,
            "the access token is for another audience",
        ),
        Refusal::Overloaded => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the token server is busy: try again in a moment",
        ),
        Refusal::Stale => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the token server has had no update from the API server for too long: try again later",
        ),
        Refusal::NotSynced => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the secret may be so new that the token server does not know it yet: try again in a moment",
        ),
        Refusal::NoSigningKey => (
            StatusCode::SERVICE_UNAVAILABLE,
            "there is no signing key yet: try again in a moment",
        ),
        Refusal::MalformedSecret
        | Refusal::UnknownKey
        | Refusal::WrongName
        | Refusal::WrongSecret
        | Refusal::ReplacedSecret
        | Refusal::Expired
        | Refusal::Suspended
        | Refusal::Deleted
        | Refusal::NotAllowed
        | Refusal::InvalidToken => (StatusCode::UNAUTHORIZED, "invalid API key name or secret"),
    }
}

impl IntoResponse for Refused {
    /// The response in the format of the Appcircle-compatible call.
    fn into_response(self) -> Response<Body> {
        let (status, text) = explain(&self);
        let response = if self.refusal.is_unproven() && status == StatusCode::UNAUTHORIZED {
            json(status, UNPROVEN)
        } else {
            plain_error(status, text)
        };
        with_retry(response, &self)
    }
}

/// Adds Retry-After if the refusal says when to try again.
pub fn with_retry(mut response: Response<Body>, refused: &Refused) -> Response<Body> {
    if let Some(seconds) = refused.retry_after_seconds {
        let value = HeaderValue::from(seconds);
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}

/// Adds a header.
pub fn with(mut response: Response<Body>, name: HeaderName, value: &str) -> Response<Body> {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}
