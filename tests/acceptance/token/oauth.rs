//! The client credentials grant of OAuth 2.0 (RFC 6749 section 4.4).

use serde_json::json;

use crate::support::{Answer, Credential, Scope, TokenServer, basic, form};

const PATH: &str = "/oauth2/token";
const GRANT: (&str, &str) = ("grant_type", "client_credentials");

fn by_body(server: &TokenServer, id: &str, secret: &str, more: &[(&str, &str)]) -> Answer {
    let client = [GRANT, ("client_id", id), ("client_secret", secret)];
    server.post(PATH, &[], &form(&[&client, more].concat()))
}

fn by_basic(server: &TokenServer, id: &str, secret: &str, more: &[(&str, &str)]) -> Answer {
    let header = basic(id, secret);
    let body = form(&[&[GRANT], more].concat());
    server.post(PATH, &[("Authorization", &header)], &body)
}

/// The public id, the login name and the secret.
fn parts(credential: &Credential) -> [String; 3] {
    ["key-id", "name", "secret"].map(|key| credential.data(key))
}

/// Checks that the answer is this error in the form of RFC 6749 section 5.2.
fn assert_error(answer: &Answer, status: u16, error: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.json()["error"], error, "{answer:?}");
    assert!(answer.json()["error_description"].is_string(), "{answer:?}");
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["content-type"], "application/json");
}

#[tokio::test]
async fn key_id_or_name_with_the_secret_gets_a_token_by_header_and_by_body() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let key = scope.usable(server, "app", "roles: [a, b]").await;
    let [id, name, secret] = parts(&key);
    for client in [&id, &name] {
        for call in [by_body, by_basic] {
            let answer = call(server, client, &secret, &[]);
            let claims = answer.claims();
            assert_eq!(claims["client_id"], id);
            assert_eq!(claims["roles"], json!(["a", "b"]));
            assert_eq!(claims.get("scope"), None);
            let body = answer.json();
            assert_eq!(body["token_type"], "Bearer");
            assert_eq!(body["expires_in"], 3600);
            assert_eq!(
                body.get("scope"),
                None,
                "the answer has a scope although it has all roles"
            );
            assert_eq!(answer.headers["cache-control"], "no-store");
        }
    }
    // The server ignores Basic credentials of another format. They may be for a proxy.
    let body = form(&[GRANT, ("client_id", &id), ("client_secret", &secret)]);
    for foreign in [&*basic("web", "hunter2"), "Basic", "Basic Og==", "Basic !!"] {
        let answer = server.post(PATH, &[("Authorization", foreign)], &body);
        assert_eq!(answer.status, 200, "{foreign}: {answer:?}");
    }
    // By RFC 6749 section 2.3 a client may repeat its id in the body. Some libraries do.
    let repeated = by_basic(server, &id, &secret, &[("client_id", &id)]);
    assert_eq!(repeated.status, 200, "{repeated:?}");
}

#[tokio::test]
async fn a_scope_narrows_the_roles_and_never_widens_them() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let key = scope.usable(server, "app", "roles: [a, b, c]").await;
    let [id, _, secret] = parts(&key);
    let narrow = by_body(server, &id, &secret, &[("scope", "c a")]);
    assert_eq!(narrow.json()["scope"], "c a");
    assert_eq!(narrow.claims()["roles"], json!(["c", "a"]));
    assert_eq!(narrow.claims()["scope"], "c a");
    let empty = by_body(server, &id, &secret, &[("scope", "")]);
    assert_eq!(empty.claims()["roles"], json!(["a", "b", "c"]));
    for scope in ["admin", "a admin", "A", "a,b", "  "] {
        let refused = by_body(server, &id, &secret, &[("scope", scope)]);
        assert_error(&refused, 400, "invalid_scope");
    }
}

#[tokio::test]
async fn an_organization_is_acted_in_only_if_the_key_covers_it() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let sub = format!("{}-sub", scope.org());
    scope.declare(scope.org(), "{allowedNamespaces: {from: All}}");
    let parent = scope.org();
    let spec = format!("{{parent: {parent}, allowedNamespaces: {{from: All}}}}");
    scope.declare(&sub, &spec);
    let more = format!("subOrgs: [{{org: {sub}, roles: [reader]}}]");
    let key = scope.usable(server, "app", &more).await;
    let [id, _, secret] = parts(&key);
    let guid = |name: &str| apikey_policy::default_organization_id(name).to_string();
    let claims = by_body(server, &id, &secret, &[("organizationId", &guid(&sub))]).claims();
    assert_eq!(claims["currentOrganizationId"], guid(&sub));
    assert_eq!(claims["roles"], json!(["reader"]));
    let foreign = by_body(server, &id, &secret, &[("organizationId", &guid("other"))]);
    assert_error(&foreign, 403, "access_denied");
    let malformed = by_body(server, &id, &secret, &[("organizationId", "42")]);
    assert_error(&malformed, 400, "invalid_request");
}

#[tokio::test]
async fn each_wrong_request_gets_the_error_that_the_rfc_names() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let key = scope.usable(server, "app", "").await;
    let [id, _, secret] = parts(&key);
    let client = form(&[("client_id", &id), ("client_secret", &secret)]);
    let header = basic(&id, &secret);
    let basic_header = [("Authorization", header.as_str())];
    let grant = "grant_type=client_credentials";
    for (headers, body, error) in [
        (&[][..], client.clone(), "invalid_request"),
        (
            &[],
            format!("{client}&grant_type=password"),
            "unsupported_grant_type",
        ),
        (&[], format!("{client}&{grant}&{grant}"), "invalid_request"),
        (
            &basic_header,
            format!("{client}&{grant}"),
            "invalid_request",
        ),
        (
            &basic_header,
            format!("client_id=other&{grant}"),
            "invalid_request",
        ),
        (
            &basic_header,
            format!("client_secret=x&{grant}"),
            "invalid_request",
        ),
    ] {
        let answer = server.post(PATH, headers, &body);
        assert_error(&answer, 400, error);
        assert!(!answer.body.contains(&secret));
    }
    let kind = [("Content-Type", "application/json")];
    let json = server.send("POST", PATH, &kind, b"{}");
    assert_error(&json, 415, "invalid_request");
    let long = server.post(PATH, &[], &"x".repeat(17_000));
    assert_error(&long, 413, "invalid_request");
}

#[tokio::test]
async fn a_client_that_is_no_key_is_refused_with_a_challenge() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let key = scope.usable(server, "app", "").await;
    let [id, _, secret] = parts(&key);
    let challenge = |answer: &Answer| answer.headers.get("www-authenticate").cloned();
    for (id, secret) in [
        (&*id, "wrong"),
        ("nobody", &secret),
        (&id.to_uppercase(), &secret),
    ] {
        let answer = by_basic(server, id, secret, &[]);
        assert_error(&answer, 401, "invalid_client");
        assert!(challenge(&answer).unwrap().starts_with("Basic realm="));
        assert_error(&by_body(server, id, secret, &[]), 401, "invalid_client");
    }
    let grant = "grant_type=client_credentials";
    for (headers, body) in [
        (&[][..], grant.to_owned()),
        (&[], format!("{grant}&client_id={id}")),
        (&[], format!("{grant}&client_secret={secret}")),
        (&[("Authorization", "Basic !!")], grant.to_owned()),
        (&[("Authorization", "Basic YQ==")], grant.to_owned()),
    ] {
        let answer = server.post(PATH, headers, &body);
        assert_error(&answer, 401, "invalid_client");
        assert!(challenge(&answer).unwrap().starts_with("Basic realm="));
    }
}
