//! Token introspection (RFC 7662) with the current state of a token or a secret.

use apikey_credential::{KeyId, Secret};
use serde_json::{Value, json};

use crate::support::{Answer, Credential, Login, Scope, TokenServer, basic, eventually, form};

const PATH: &str = "/oauth2/introspect";

/// Introspects on behalf of the key `asker`.
fn look(server: &TokenServer, asker: &Credential, token: &str) -> Answer {
    let header = basic(&asker.data("key-id"), &asker.data("secret"));
    let headers = [("Authorization", header.as_str())];
    server.post(PATH, &headers, &form(&[("token", token)]))
}

/// The introspection of the token.
fn introspected(server: &TokenServer, asker: &Credential, token: &str) -> Value {
    let answer = look(server, asker, token);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn access_token(server: &TokenServer, key: &Credential) -> String {
    server.token_for(key).await.access_token()
}

#[tokio::test]
async fn a_token_and_a_secret_are_described_to_whoever_holds_a_key() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let asker = scope.usable(server, "asker", "").await;
    let key = scope.usable(server, "app", "roles: [a, b]").await;
    let token = access_token(server, &key).await;
    let claims = crate::support::part_of(&token, 1);

    let of_token = introspected(server, &asker, &token);
    for claim in [
        "iss",
        "sub",
        "aud",
        "exp",
        "iat",
        "jti",
        "client_id",
        "org",
        "secret_revision",
    ] {
        assert_eq!(of_token[claim], claims[claim], "{claim}");
    }
    for (field, value) in [
        ("active", json!(true)),
        ("token_type", json!("access_token")),
        ("scope", json!("a b")),
        ("roles", json!(["a", "b"])),
        ("username", claims["email"].clone()),
        ("namespace", json!(scope.namespace)),
        ("name", json!("app")),
        (
            "currentOrganizationId",
            claims["currentOrganizationId"].clone(),
        ),
    ] {
        assert_eq!(of_token[field], value, "{field}");
    }

    let of_secret = introspected(server, &asker, &key.data("secret"));
    for field in [
        "active",
        "scope",
        "roles",
        "username",
        "sub",
        "aud",
        "client_id",
        "secret_revision",
    ] {
        assert_eq!(of_secret[field], of_token[field], "{field}");
    }
    assert_eq!(of_secret["token_type"], "api_key");
    assert!(of_secret["exp"].as_i64() > of_token["exp"].as_i64());
    assert_eq!(of_secret.get("jti"), None);
}

#[tokio::test]
async fn callers_authenticate_by_header_by_body_or_by_a_token_of_theirs() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let asker = scope.usable(server, "asker", "").await;
    let token = access_token(server, &asker).await;
    let (id, secret) = (asker.data("key-id"), asker.data("secret"));
    let wanted = [
        ("token", token.as_str()),
        ("token_type_hint", "access_token"),
    ];
    let by_name = [("client_id", "asker"), ("client_secret", &secret)];
    let (basic, bearer) = (basic(&id, &secret), format!("Bearer {token}"));
    for (headers, fields) in [
        (vec![("Authorization", basic.as_str())], wanted.to_vec()),
        (vec![("Authorization", &bearer)], wanted.to_vec()),
        (vec![], [by_name, wanted].concat()),
    ] {
        let answer = server.post(PATH, &headers, &form(&fields));
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()["active"], true);
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    let no_token = server.post(PATH, &[("Authorization", &basic)], "");
    assert_eq!(
        (no_token.status, &no_token.json()["error"]),
        (400, &json!("invalid_request"))
    );
    let wrong = Secret::from_entropy(&KeyId::try_from(&*id).unwrap(), [9; 32]);
    for (headers, fields) in [
        (vec![], wanted.to_vec()),
        (vec![("Authorization", "Bearer nonsense")], wanted.to_vec()),
        (
            vec![],
            [
                &[("client_id", "asker"), ("client_secret", wrong.expose())],
                &wanted[..],
            ]
            .concat(),
        ),
    ] {
        let answer = server.post(PATH, &headers, &form(&fields));
        assert_eq!(
            (answer.status, &answer.json()["error"]),
            (401, &json!("invalid_client"))
        );
        assert_eq!(answer.json().get("active"), None);
    }
}

#[tokio::test]
async fn keys_are_described_to_callers_of_the_same_root_organization_alone() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let (root, sub) = (scope.org().to_owned(), format!("{}-sub", scope.org()));
    scope.declare(&root, "{allowedNamespaces: {from: All}}");
    let of_root = format!("{{parent: {root}, allowedNamespaces: {{from: All}}}}");
    scope.declare(&sub, &of_root);
    let other = format!("{root}-other");
    scope.declare(&other, "{allowedNamespaces: {from: All}}");
    let mut keys = Vec::new();
    for (name, org) in [("of-root", root), ("of-sub", sub), ("of-other", other)] {
        keys.push(scope.usable(server, name, &format!("org: {org}")).await);
    }
    for (asker, sees) in [
        (&keys[0], [true, true, false]),
        (&keys[1], [true, true, false]),
        (&keys[2], [false, false, true]),
    ] {
        let bearer = format!("Bearer {}", access_token(server, asker).await);
        for (key, seen) in keys.iter().zip(sees) {
            for presented in [access_token(server, key).await, key.data("secret")] {
                let by_secret = introspected(server, asker, &presented);
                let body = form(&[("token", &presented)]);
                let by_token = server.post(PATH, &[("Authorization", &bearer)], &body);
                for answer in [by_secret, by_token.json()] {
                    assert_eq!(answer["active"], seen, "{answer}");
                    assert!(seen || answer == json!({"active": false}), "{answer}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_token_for_another_service_does_not_ask_in_the_name_of_its_key() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let key = scope
        .usable(server, "app", "token: {audiences: [billing]}")
        .await;
    let token = access_token(server, &key).await;
    let bearer = format!("Bearer {token}");
    let body = form(&[("token", &token)]);
    let answer = server.post(PATH, &[("Authorization", &bearer)], &body);
    assert_eq!(answer.status, 401, "{answer:?}");
    assert!(answer.body.contains("audience"), "{answer:?}");
    assert_eq!(introspected(server, &key, &token)["aud"], "billing");
}

#[tokio::test]
async fn guesses_at_secrets_are_paid_for_and_counted_as_anywhere_else() {
    let scope = Scope::shared().await;
    let server = scope
        .cluster
        .token_server(&["--source-failures-per-second=1"]);
    server.ready().await;
    let asker = scope.usable(&server, "asker", "").await;
    let forged = |n| Login::of(&asker).forged(n).secret;
    let answers: Vec<_> = (0..8).map(|n| look(&server, &asker, &forged(n))).collect();
    assert_eq!(answers[0].json(), json!({"active": false}));
    let limited = answers.last().unwrap();
    assert_eq!(limited.status, 429, "{limited:?}");
    assert!(limited.headers["retry-after"].parse::<u32>().unwrap() >= 1);
    let refusals = "apikey_refusals_total{route=\"introspect\",reason=\"WrongSecret\"}";
    assert_eq!(server.process.metric(refusals), Some(8.0));
    // The budget applies neither to correct secrets nor to texts that are not secrets.
    assert_eq!(
        introspected(&server, &asker, &asker.data("secret"))["active"],
        true
    );
    assert_eq!(
        introspected(&server, &asker, "nonsense"),
        json!({"active": false})
    );
}

#[tokio::test]
async fn what_is_not_ours_is_inactive_without_further_fields() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let asker = scope.usable(server, "asker", "").await;
    let token = access_token(server, &asker).await;
    // A server with another issuer and the same keys.
    let foreign = scope
        .cluster
        .token_server(&["--issuer-url=https://other.example"]);
    foreign.ready().await;
    let of_other_issuer = access_token(&foreign, &asker).await;
    let unknown = Secret::from_entropy(&KeyId::from_entropy([9; 10]), [9; 32]);
    let wrong = Secret::from_entropy(&KeyId::try_from(&*asker.data("key-id")).unwrap(), [9; 32]);
    for token in [
        "nonsense",
        "a.b.c",
        "..",
        &token[1..],
        &token[..token.len() - 2],
        &of_other_issuer,
        unknown.expose(),
        wrong.expose(),
        &"x".repeat(3000),
    ] {
        assert_eq!(
            introspected(server, &asker, token),
            json!({"active": false})
        );
    }
}

#[tokio::test]
async fn a_token_ends_with_its_key_and_shrinks_with_its_roles() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let asker = scope.usable(server, "asker", "").await;
    let mut tokens = Vec::new();
    for name in ["deleted", "suspended", "reduced", "exchanged"] {
        let key = scope.usable(server, name, "roles: [a, b]").await;
        tokens.push((access_token(server, &key).await, key.data("secret")));
    }
    scope.kubectl(&["delete", "apikey", "deleted"]);
    scope.patch_key("suspended", r#"{"suspended": true}"#);
    scope.patch_key("reduced", r#"{"roles": ["b"]}"#);
    scope.patch_key("exchanged", r#"{"roles": ["c"]}"#);
    let inactive = json!({"active": false});
    for (what, (token, secret)) in ["deleted", "suspended"].iter().zip(&tokens) {
        for presented in [token, secret] {
            eventually(&format!("{what} is inactive"), async || {
                (introspected(server, &asker, presented) == inactive).then_some(())
            })
            .await;
        }
    }
    let (token, secret) = &tokens[2];
    eventually("the token shows the remaining roles", async || {
        let seen = introspected(server, &asker, token);
        (seen["roles"] == json!(["b"]) && seen["scope"] == "b").then_some(())
    })
    .await;
    assert_eq!(introspected(server, &asker, secret)["roles"], json!(["b"]));
    // The token lacks a role that was added later. The secret has it.
    let (token, secret) = &tokens[3];
    eventually("all roles of the token are gone", async || {
        (introspected(server, &asker, token) == inactive).then_some(())
    })
    .await;
    assert_eq!(introspected(server, &asker, secret)["roles"], json!(["c"]));

    scope.patch_key("suspended", r#"{"suspended": false}"#);
    eventually("the resumed key is active again", async || {
        (introspected(server, &asker, &tokens[1].0)["active"] == true).then_some(())
    })
    .await;
    // The server refuses a caller with a deleted key.
    scope.kubectl(&["delete", "apikey", "asker"]);
    eventually("the server refuses the caller", async || {
        (look(server, &asker, &tokens[3].1).status == 401).then_some(())
    })
    .await;
}
