//! The OpenAPI 3.1 description, generated from the handlers.

use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{RefOr, Schema, Server, Type, schema::SchemaType};
use utoipa::{Modify, OpenApi};

use super::routes::{authz, discovery, introspect, oauth, token};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "apikey-operator token server",
        description = "Exchanges name and secret of an API key for a short-lived access token, \
            checks secrets and tokens, and authorizes requests for gateways.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/")),
    paths(
        token::handle,
        oauth::handle,
        introspect::handle,
        discovery::handle,
        discovery::handle_oauth,
        discovery::jwks,
        authz::handle,
        authz::handle_with,
    ),
    modifiers(&Schemes, &NeverNull)
)]
struct Description;

/// Adds the security schemes.
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

/// Removes null from all fields: a field without a value is omitted in requests and responses.
struct NeverNull;

impl Modify for NeverNull {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let components = description.components.get_or_insert_default();
        let objects = components.schemas.values_mut().filter_map(|schema| {
            let RefOr::T(Schema::Object(object)) = schema else {
                return None;
            };
            Some(object)
        });
        for property in objects.flat_map(|object| object.properties.values_mut()) {
            let schema_type = match property {
                RefOr::T(Schema::Object(object)) => &mut object.schema_type,
                RefOr::T(Schema::Array(array)) => &mut array.schema_type,
                RefOr::Ref(_) | RefOr::T(_) => continue,
            };
            if let SchemaType::Array(types) = schema_type {
                types.retain(|kind| *kind != Type::Null);
                if let [one] = types.as_slice() {
                    *schema_type = SchemaType::Type(one.clone());
                }
            }
        }
    }
}

/// The description as JSON, for a server whose issuer has this path.
#[must_use]
pub fn json(issuer_path: &str) -> String {
    let mut description = Description::openapi();
    if !issuer_path.is_empty() {
        description.servers = Some(vec![Server::new(issuer_path)]);
    }
    description.to_pretty_json().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_that_is_checked_in_is_that_of_the_code() {
        let kept = include_str!("../../docs/openapi.json");
        assert_eq!(kept.trim(), json(""), "run: make openapi");
    }
}
