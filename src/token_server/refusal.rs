//! Why a request is refused, and the response to it. Metrics and the audit log show the exact reason; callers
//! see less.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;

use super::reply::{json, plain_error};

/// The text for all callers that fail to authenticate.
macro_rules! unproven {
    () => {
        "invalid API key name or secret"
    };
}

/// The body of the response to callers that fail to authenticate.
const UNPROVEN_BODY: &str = concat!("{\"error\":\"", unproven!(), "\"}");

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// The text is not a secret of this operator: length, alphabet or checksum is wrong.
    MalformedSecret,
    /// No key has this id.
    UnknownKey,
    /// The name is not that of the key.
    WrongName,
    /// The key has no such secret.
    WrongSecret,
    /// The secret was replaced and its overlap is over.
    ReplacedSecret,
    /// The key has expired.
    Expired,
    /// The key is suspended.
    Suspended,
    /// The key is being deleted.
    Deleted,
    /// The rules of its organization do not allow the key.
    NotAllowed,
    /// The access token was not issued here or has expired, or its key or secret is no longer
    /// accepted.
    InvalidToken,
    /// The access token is for another audience.
    WrongAudience,
    /// The tokens of the key are not for the requested audience.
    AudienceNotCovered,
    /// The key does not cover the organization.
    OrganizationNotCovered,
    /// The key lacks a requested role.
    RoleNotHeld,
    /// The budget of refusals is used up.
    TooManyFailures,
    /// Too many checks that need argon2id.
    Overloaded,
    /// The API server has not been reached for too long.
    Stale,
    /// The secret is unknown, and a watch that would deliver a new one may lack changes. `Unheard` in
    /// metrics and audit entries.
    NotSynced,
    /// There is no signing key.
    NoSigningKey,
}

impl Refusal {
    /// All refusals.
    pub const ALL: [Self; 19] = [
        Self::MalformedSecret,
        Self::UnknownKey,
        Self::WrongName,
        Self::WrongSecret,
        Self::ReplacedSecret,
        Self::Expired,
        Self::Suspended,
        Self::Deleted,
        Self::NotAllowed,
        Self::InvalidToken,
        Self::WrongAudience,
        Self::AudienceNotCovered,
        Self::OrganizationNotCovered,
        Self::RoleNotHeld,
        Self::TooManyFailures,
        Self::Overloaded,
        Self::Stale,
        Self::NotSynced,
        Self::NoSigningKey,
    ];

    /// The name in metrics and audit entries.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MalformedSecret => "MalformedSecret",
            Self::UnknownKey => "UnknownKey",
            Self::WrongName => "WrongName",
            Self::WrongSecret => "WrongSecret",
            Self::ReplacedSecret => "ReplacedSecret",
            Self::Expired => "Expired",
            Self::Suspended => "Suspended",
            Self::Deleted => "Deleted",
            Self::NotAllowed => "NotAllowed",
            Self::InvalidToken => "InvalidToken",
            Self::WrongAudience => "WrongAudience",
            Self::AudienceNotCovered => "AudienceNotCovered",
            Self::OrganizationNotCovered => "OrganizationNotCovered",
            Self::RoleNotHeld => "RoleNotHeld",
            Self::TooManyFailures => "TooManyFailures",
            Self::Overloaded => "Overloaded",
            Self::Stale => "Stale",
            Self::NotSynced => "Unheard",
            Self::NoSigningKey => "NoSigningKey",
        }
    }

    /// Whether a new secret gets this refusal while this process does not know it yet.
    #[must_use]
    pub const fn may_be_of_a_new_secret(self) -> bool {
        matches!(self, Self::UnknownKey | Self::WrongSecret)
    }

    /// Whether the caller failed to authenticate. Callers can't tell these refusals apart.
    #[must_use]
    pub const fn is_unproven(self) -> bool {
        matches!(
            self,
            Self::MalformedSecret
                | Self::UnknownKey
                | Self::WrongName
                | Self::WrongSecret
                | Self::ReplacedSecret
                | Self::Expired
                | Self::Suspended
                | Self::Deleted
                | Self::NotAllowed
                | Self::InvalidToken
        )
    }
}

/// A refused request.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The reason.
    pub refusal: Refusal,
    /// When to try again, if a retry can succeed.
    pub retry_after_seconds: Option<u64>,
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
        | Refusal::InvalidToken => (StatusCode::UNAUTHORIZED, unproven!()),
    }
}

impl IntoResponse for Refused {
    /// The response in the format of the Appcircle-compatible call.
    fn into_response(self) -> Response<Body> {
        let (status, text) = explain(&self);
        let response = if self.refusal.is_unproven() && status == StatusCode::UNAUTHORIZED {
            json(status, UNPROVEN_BODY)
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
