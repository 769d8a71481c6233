//! The OpenAPI 3.1 description, made from the handlers.

use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::routes::{authz, discovery, introspect, oauth, token};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "apikey-operator token server",
        description = "Swaps name and secret of an API key for a short-lived access token, checks \
            both, and answers gateways.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/")),
    paths(
        token::handle,
        oauth::handle,
        introspect::handle,
        discovery::handle,
        discovery::jwks,
        authz::handle,
        authz::handle_with,
    ),
    modifiers(&Schemes)
)]
struct Description;

/// How callers of some routes say who they are.
struct Schemes;

impl Modify for Schemes {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let http = |scheme| SecurityScheme::Http(Http::new(scheme));
        let header = ApiKeyValue::with_description("x-api-key", "The secret of an API key");
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("basic", http(HttpAuthScheme::Basic));
        components.add_security_scheme("bearer", http(HttpAuthScheme::Bearer));
        components.add_security_scheme("apiKey", SecurityScheme::ApiKey(ApiKey::Header(header)));
    }
}

/// The description, as JSON.
#[must_use]
pub fn json() -> String {
    Description::openapi().to_pretty_json().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_that_is_checked_in_is_that_of_the_code() {
        let kept = include_str!("../../docs/openapi.json");
        assert_eq!(kept.trim(), json(), "run: make openapi");
    }
}
