use serde_json::{Value, json};

use super::*;
use crate::token_server::claims::Claims;
use crate::token_server::signer::Signer;
use crate::token_server::testing::{NOW, at};
use apikey_api::ApiKey;
use apikey_api::bounds::{MAX_AUDIENCES_CHARS, MAX_ROLES_CHARS};
use apikey_api::crds::schema;
use apikey_credential::signing::{Algorithm, SigningKey, SigningRing};

/// The longest `Authorization` header that nginx (`large_client_header_buffers`, 8 KiB) and Apache
/// (`LimitRequestFieldSize`, 8190) accept. Unit: bytes.
const GATEWAY_LINE_BYTES: usize = 8190;

/// A bound in the schema of `ApiKey`.
fn bound(definition: &Value, path: &str) -> usize {
    let bound = definition.pointer(path).and_then(Value::as_u64);
    usize::try_from(bound.unwrap_or_else(|| panic!("{path}"))).unwrap()
}

/// `count` texts with `chars` characters in total.
fn texts(count: usize, chars: usize, character: char) -> Vec<String> {
    let text = |n| {
        character
            .to_string()
            .repeat(chars * (n + 1) / count - chars * n / count)
    };
    (0..count).map(text).collect()
}

/// The largest claims that the schema and the flags allow, with these roles and audiences.
fn claims(roles: &[String], audiences: &[String]) -> Claims<'static> {
    let definition = schema::<ApiKey>().unwrap();
    let spec = |path: &str| bound(&definition, &format!("/properties/spec/properties/{path}"));
    let status = |path: &str| {
        bound(
            &definition,
            &format!("/properties/status/properties/{path}"),
        )
    };
    let (org, key_id) = (
        "o".repeat(spec("org/maxLength")),
        "k".repeat(status("keyId/maxLength")),
    );
    let claims = json!({
        "iss": "i".repeat(255), "sub": format!("apikey:{key_id}"), "aud": Audience::of(audiences),
        "iat": i64::MAX, "nbf": i64::MAX, "exp": i64::MAX, "jti": "j".repeat(32),
        "client_id": key_id, "email": "e".repeat(status("email/maxLength")),
        "name": "n".repeat(spec("name/maxLength")), "namespace": "s".repeat(63), "org": org,
        "currentOrganizationId": uuid::Uuid::max(), "scope": roles.join(" "), "roles": roles,
        "secret_revision": i64::MAX,
    });
    serde_json::from_value(claims).unwrap()
}

/// The longest token with these claims, over all algorithms.
fn longest(claims: &Claims<'_>) -> usize {
    let signed = Algorithm::ALL.map(|algorithm| {
        let key = SigningKey::generate(algorithm, at(NOW), at(NOW)).unwrap();
        let signer = Signer::new(SigningRing::default().changed(Some(key), &[])).unwrap();
        let token = signer.sign(claims, at(NOW)).unwrap();
        assert_eq!(
            signer.verify(&token).as_ref(),
            Some(claims),
            "what we make, we take"
        );
        token.len()
    });
    signed.into_iter().max().unwrap()
}

#[test]
fn the_greatest_token_of_a_key_fits_into_a_header_that_gateways_take() {
    let definition = schema::<ApiKey>().unwrap();
    let spec = |path: &str| bound(&definition, &format!("/properties/spec/properties/{path}"));
    let roles = texts(
        spec("roles/maxItems"),
        usize::try_from(MAX_ROLES_CHARS).unwrap(),
        'r',
    );
    let audiences = texts(
        spec("token/properties/audiences/maxItems"),
        usize::try_from(MAX_AUDIENCES_CHARS).unwrap(),
        'a',
    );
    let token = longest(&claims(&roles, &audiences));
    let line = "authorization: Bearer ".len() + token + "\r\n".len();
    assert!(line <= GATEWAY_LINE_BYTES, "{line}");
}

#[test]
fn the_greatest_token_of_a_key_from_before_there_were_bounds_is_taken() {
    let definition = schema::<ApiKey>().unwrap();
    let spec = |path: &str| bound(&definition, &format!("/properties/spec/properties/{path}"));
    let each = |list: &str, character| {
        let (count, chars) = (
            spec(&format!("{list}/maxItems")),
            spec(&format!("{list}/items/maxLength")),
        );
        texts(count, count * chars, character)
    };
    let roles = each("roles", 'r');
    let audiences = each("token/properties/audiences", '"');
    check_audiences(&audiences).unwrap();
    let token = longest(&claims(&roles, &audiences));
    assert!(token <= MAX_TOKEN_BYTES, "{token}");
}

#[test]
fn the_server_does_not_start_with_audiences_that_no_token_has_room_for() {
    check_audiences(&["https://keys.test".to_owned()]).unwrap();
    let refused = check_audiences(&texts(40, 9000, 'a')).unwrap_err();
    assert!(refused.contains("--audience"), "{refused}");
}

#[test]
fn a_call_for_a_token_has_room_for_every_role_as_scope() {
    let definition = schema::<ApiKey>().unwrap();
    let roles = "/properties/spec/properties/roles";
    let (count, chars) = (
        bound(&definition, &format!("{roles}/maxItems")),
        bound(&definition, &format!("{roles}/items/maxLength")),
    );
    let encoded = count * (chars + 1) * "%3A".len();
    assert!(encoded + 1000 <= MAX_TOKEN_CALL_BYTES, "{encoded}");
}
