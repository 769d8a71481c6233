//! Paths of the token server, relative to the issuer.

/// Exchanges a name and a secret for an access token. The path is the one of Appcircle's API.
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
/// External authorization: decides for a gateway whether a request is allowed.
pub const AUTHZ: &str = "/authz";
/// External authorization with the required claims in the path: `/authz-with/org=acme,role=viewer`.
pub const AUTHZ_WITH: &str = "/authz-with";
/// OpenAPI 3.1 description of these endpoints.
pub const OPENAPI: &str = "/openapi.json";
