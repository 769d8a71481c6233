//! The documents that the server publishes: discovery, the keys that check tokens, and OpenAPI.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};

use crate::support::{Scope, part_of};

const OPENID: &str = "/.well-known/openid-configuration";
const OAUTH: &str = "/.well-known/oauth-authorization-server";
const JWKS: &str = "/oauth2/jwks";
const OPENAPI: &str = "/openapi.json";

#[tokio::test]
async fn clients_find_every_endpoint_by_the_issuer() {
    let scope = Scope::shared().await;
    let issuer = "https://keys.example.com/base";
    let flag = format!("--issuer-url={issuer}");
    let server = scope.cluster.token_server(&[&flag]);
    server.ready().await;
    let document = server.get(OPENID, &[]).json();
    assert_eq!(document, server.get(OAUTH, &[]).json());
    for (field, value) in [
        ("issuer", json!(issuer)),
        ("jwks_uri", json!(format!("{issuer}{JWKS}"))),
        ("token_endpoint", json!(format!("{issuer}/oauth2/token"))),
        (
            "introspection_endpoint",
            json!(format!("{issuer}/oauth2/introspect")),
        ),
        ("grant_types_supported", json!(["client_credentials"])),
        ("response_types_supported", json!([])),
        ("subject_types_supported", json!(["public"])),
    ] {
        assert_eq!(document[field], value, "{field}");
    }
    let key = scope.usable(&server, "app", "").await;
    let claims = server.token_for(&key).await.claims();
    assert_eq!(claims["iss"], issuer);
    let announced = document["claims_supported"].as_array().unwrap();
    for claim in claims.as_object().unwrap().keys() {
        assert!(announced.contains(&json!(claim)), "{claim}");
    }
    let algorithms = document["id_token_signing_alg_values_supported"]
        .as_array()
        .unwrap();
    let header = part_of(&server.token_for(&key).await.access_token(), 0);
    assert!(algorithms.contains(&header["alg"]));
}

#[tokio::test]
async fn public_documents_are_kept_by_caches_and_fetched_again_only_when_changed() {
    let server = Scope::token_server().await;
    for path in [OPENID, OAUTH, JWKS, OPENAPI] {
        let answer = server.get(path, &[]);
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(answer.headers["cache-control"], "public, max-age=300");
        let tag = answer.headers["etag"].as_str();
        assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
        for known in [tag, &format!("W/{tag}"), &format!("\"x\", {tag}"), "*"] {
            let kept = server.get(path, &[("If-None-Match", known)]);
            assert_eq!((kept.status, &*kept.body), (304, ""), "{path} {known}");
            assert_eq!(kept.headers["etag"], tag);
            assert_eq!(kept.headers["cache-control"], "public, max-age=300");
        }
        let stale = server.get(path, &[("If-None-Match", "\"x\"")]);
        assert_eq!((stale.status, stale.body), (200, answer.body.clone()));
        let head = server.send("HEAD", path, &[], b"");
        assert_eq!((head.status, &*head.body), (200, ""));
        assert_eq!(head.headers["etag"], tag);
        let post = server.post(path, &[], "");
        assert_eq!((post.status, &*post.headers["allow"]), (405, "GET,HEAD"));
    }
}

#[tokio::test]
async fn a_token_is_checked_by_a_published_key_and_no_private_part_is_published() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let key = scope.usable(server, "app", "").await;
    let token = server.token_for(&key).await.access_token();
    let published = server.get(JWKS, &[]);
    for jwk in published.json()["keys"].as_array().unwrap() {
        let fields: Vec<_> = jwk.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
        assert_eq!((&jwk["alg"], &jwk["use"]), (&json!("ES256"), &json!("sig")));
    }
    let set: JwkSet = serde_json::from_str(&published.body).unwrap();
    let header = decode_header(&token).unwrap();
    let jwk = set.find(&header.kid.unwrap()).unwrap();
    let mut validation = Validation::new(header.alg);
    let issuer = "http://apikey-operator-token.apikey-operator.svc";
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[issuer]);
    validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
    validation.validate_nbf = true;
    let by = DecodingKey::from_jwk(jwk).unwrap();
    let checked = decode::<Value>(&token, &by, &validation).unwrap();
    assert_eq!(checked.claims["client_id"], key.data("key-id"));
}

#[tokio::test]
async fn the_description_served_is_the_one_checked_in() {
    let server = Scope::token_server().await;
    let kept: Value = serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap();
    assert_eq!(server.get(OPENAPI, &[]).json(), kept);
}
