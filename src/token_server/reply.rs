//! Responses: always JSON, and never cached unless they are public.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

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

/// Adds a header.
pub fn with(mut response: Response<Body>, name: HeaderName, value: &str) -> Response<Body> {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}
