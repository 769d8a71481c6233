//! Paths of the token server, below the address of its issuer. Pure constants.

/// Exchanges name and secret for an access token; the path of Appcircle's API.
pub const TOKEN: &str = "/auth/v1/api-key/token";
/// OAuth 2.0 token endpoint, client credentials (RFC 6749 section 4.4).
pub const OAUTH_TOKEN: &str = "/oauth2/token";
/// OAuth 2.0 token introspection (RFC 7662).
pub const INTROSPECTION: &str = "/oauth2/introspect";
/// Public signing keys as a JSON Web Key Set (RFC 7517).
pub const JWKS: &str = "/oauth2/jwks";
/// OpenID Connect Discovery 1.0.
pub const OPENID_CONFIGURATION: &str = "/.well-known/openid-configuration";
/// OAuth 2.0 authorization server metadata (RFC 8414).
pub const OAUTH_METADATA: &str = "/.well-known/oauth-authorization-server";
/// Answers a gateway whether a request may pass.
pub const AUTHZ: &str = "/authz";
/// The same, with what the token must have in the path: `/authz-with/org=acme,role=viewer`.
pub const AUTHZ_WITH: &str = "/authz-with";
/// Description of these endpoints (OpenAPI 3.1).
pub const OPENAPI: &str = "/openapi.json";
