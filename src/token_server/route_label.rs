//! Names of the routes in metrics and audit entries.

/// A route, as named in metrics and audit entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Route {
    /// `POST /auth/v1/api-key/token`.
    Token,
    /// `POST /oauth2/token`.
    OauthToken,
    /// `POST /oauth2/introspect`.
    Introspect,
    /// `/.well-known/...`.
    Discovery,
    /// `GET /oauth2/jwks`.
    Jwks,
    /// `/authz`.
    Authz,
    /// `GET /openapi.json`.
    Openapi,
    /// Anything else.
    Unknown,
}

impl Route {
    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "api-key-token",
            Self::OauthToken => "oauth2-token",
            Self::Introspect => "introspect",
            Self::Discovery => "discovery",
            Self::Jwks => "jwks",
            Self::Authz => "authz",
            Self::Openapi => "openapi",
            Self::Unknown => "unknown",
        }
    }
}
