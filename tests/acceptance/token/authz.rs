//! External authorization for gateways.

use apikey_credential::signing::{Algorithm, SigningKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use hmac::{Hmac, KeyInit as _, Mac as _};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::{Answer, Login, Scope, TokenServer, eventually, part_of};

fn ask(server: &TokenServer, path: &str, header: &str, value: &str) -> Answer {
    server.get(path, &[(header, value)])
}

fn assert_refused(answer: &Answer) {
    assert_eq!(answer.status, 401, "{answer:?}");
    assert!(answer.headers["www-authenticate"].starts_with("Bearer realm="));
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert!(answer.json()["error"].is_string());
    let text = answer
        .headers
        .keys()
        .any(|name| name.starts_with("x-apikey-"));
    assert!(!text, "{answer:?}");
}

#[tokio::test]
async fn a_secret_or_a_token_passes_whatever_the_method_and_the_path() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let key = scope.usable(server, "app", "roles: [a, b]").await;
    let secret = key.data("secret");
    let token = server.token_for(&key).await.access_token();
    let claims = part_of(&token, 1);
    let (bearer_secret, bearer_token) = (format!("Bearer {secret}"), format!("bearer {token}"));
    for (header, value) in [
        ("X-Api-Key", &secret),
        ("Authorization", &bearer_secret),
        ("Authorization", &bearer_token),
    ] {
        for (method, path) in [
            ("GET", "/authz"),
            ("GET", "/authz/"),
            ("POST", "/authz/v1/builds?x=y"),
            ("DELETE", "/authz/a%2f..//../b"),
            ("OPTIONS", "/authz/*"),
            ("PATCH", "/authz/%ff%00"),
            ("PROPFIND", "/authz/x"),
            ("HEAD", "/authz/x"),
        ] {
            let answer = server.send(method, path, &[(header, value)], b"");
            assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
            let org = claims["currentOrganizationId"].as_str().unwrap();
            for (name, value) in [
                ("id", &*key.data("key-id")),
                ("name", "app"),
                ("namespace", &scope.namespace),
                ("email", claims["email"].as_str().unwrap()),
                ("org", scope.org()),
                ("organization-id", org),
                ("roles", "a,b"),
            ] {
                assert_eq!(answer.headers[&format!("x-apikey-{name}")], value);
            }
            assert_eq!(answer.headers["cache-control"], "no-store");
        }
    }
}

#[tokio::test]
async fn whoever_is_no_key_is_refused_with_a_challenge() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let key = scope.usable(server, "app", "").await;
    let secret = key.data("secret");
    let token = server.token_for(&key).await.access_token();
    assert_refused(&server.get("/authz/x", &[]));
    // If a request has both headers, the API key decides. A token is not an API key.
    let bearer = format!("Bearer {secret}");
    let forged = Login::of(&key).forged(9).secret;
    for wrong in [forged.as_str(), "ak_nonsense"] {
        let both = [("X-Api-Key", wrong), ("Authorization", &bearer)];
        assert_refused(&server.get("/authz/x", &both));
    }
    for (header, value) in [
        ("X-Api-Key", ""),
        ("X-Api-Key", &*token),
        ("Authorization", &*secret),
        ("Authorization", "Bearer"),
        ("Authorization", "Bearer nonsense"),
        ("Authorization", "Basic YTpi"),
    ] {
        assert_refused(&ask(server, "/authz/x", header, value));
    }
    scope.kubectl(&["delete", "apikey", "app"]);
    let bearer = format!("Bearer {token}");
    for (header, value) in [("X-Api-Key", &secret), ("Authorization", &bearer)] {
        let refused = eventually("the server refuses the deleted key", async || {
            let answer = ask(server, "/authz/x", header, value);
            (answer.status != 200).then_some(answer)
        })
        .await;
        assert_refused(&refused);
    }
}

#[tokio::test]
async fn a_requirement_is_met_by_organization_and_every_role() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let (root, sub) = (scope.org().to_owned(), format!("{}-sub", scope.org()));
    scope.declare(&root, "{allowedNamespaces: {from: All}}");
    let spec = format!("{{parent: {root}, allowedNamespaces: {{from: All}}}}");
    scope.declare(&sub, &spec);
    let more = format!("roles: [a, b], subOrgs: [{{org: {sub}, roles: [c]}}]");
    let key = scope.usable(server, "app", &more).await;
    let secret = key.data("secret");
    let guid = apikey_policy::default_organization_id(&sub).to_string();
    let token_in = |organization: &[(&str, &str)]| {
        let login = [("name", "app"), ("secret", &*secret)];
        let answer = server.token(&[&login, organization].concat());
        format!("Bearer {}", answer.access_token())
    };
    let (in_root, in_sub) = (token_in(&[]), token_in(&[("organizationId", &guid)]));
    for (requirement, by_secret, by_root_token, by_sub_token) in [
        ("role=a", 200, 200, 403),
        ("role=a,role=b", 200, 200, 403),
        ("role=a,role=c", 403, 403, 403),
        ("role=c", 403, 403, 200),
        (&format!("org={root}"), 200, 200, 403),
        (&format!("org={root},role=b"), 200, 200, 403),
        (&format!("org={sub}"), 200, 403, 200),
        (&format!("org={sub},role=c"), 200, 403, 200),
        (&format!("org={sub},role=a"), 403, 403, 403),
        ("org=elsewhere", 403, 403, 403),
        ("org", 403, 403, 403),
        ("rol=a", 403, 403, 403),
        ("role=a;org=x", 403, 403, 403),
    ] {
        for end in ["", "/", "/v1/builds", "/%ff?org=x"] {
            let path = format!("/authz-with/{requirement}{end}");
            for (header, value, status) in [
                ("X-Api-Key", &secret, by_secret),
                ("Authorization", &in_root, by_root_token),
                ("Authorization", &in_sub, by_sub_token),
            ] {
                let answer = ask(server, &path, header, value);
                assert_eq!(answer.status, status, "{path} {header}: {answer:?}");
            }
        }
    }
    let path = format!("/authz-with/org={sub}/x");
    let allowed = ask(server, &path, "X-Api-Key", &secret);
    assert_eq!(allowed.headers["x-apikey-org"], sub);
    assert_eq!(allowed.headers["x-apikey-organization-id"], guid);
    assert_eq!(allowed.headers["x-apikey-roles"], "c");
    assert_refused(&ask(server, &path, "X-Api-Key", "nonsense"));
}

#[tokio::test]
async fn what_is_empty_or_foreign_beside_a_credential_decides_nothing() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let key = scope.usable(server, "app", "").await;
    let secret = key.data("secret");
    let token = server.token_for(&key).await.access_token();
    for bearer in [&secret, &token] {
        let bearer = format!("Bearer {bearer}");
        for other in ["", "  ", "nonsense", "sk-live-1", &*token, "Bearer"] {
            let both = [("X-Api-Key", other), ("Authorization", &bearer)];
            let answer = server.get("/authz/x", &both);
            assert_eq!(answer.status, 200, "{other}: {answer:?}");
        }
        let headers = [("Authorization", "Basic YTpi"), ("Authorization", &bearer)];
        assert_eq!(server.get("/authz/x", &headers).status, 200);
    }
    for other in ["", "Bearer", "Bearer ", "Bearer eyJ.a.b", "Basic YTpi"] {
        for headers in [
            [("X-Api-Key", &*secret), ("Authorization", other)],
            [("Authorization", other), ("X-Api-Key", &secret)],
        ] {
            let answer = server.get("/authz/x", &headers);
            assert_eq!(answer.status, 200, "{other}: {answer:?}");
        }
    }
    let first_empty = [("X-Api-Key", ""), ("X-Api-Key", &*secret)];
    assert_eq!(server.get("/authz/x", &first_empty).status, 200);
}

#[tokio::test]
async fn a_token_passes_only_for_its_own_audience() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let plain = scope.usable(server, "plain", "").await;
    let audiences = "token: {audiences: [kube, 'https://api.example.com/v1']}";
    let named = scope.usable(server, "named", audiences).await;
    let api = "/authz-with/aud=https:%2F%2Fapi.example.com%2Fv1";
    let issuer = server.token_for(&plain).await.claims()["aud"].clone();
    let issuer = format!(
        "/authz-with/aud={}",
        issuer.as_str().unwrap().replace('/', "%2F")
    );
    for (path, of_plain, of_named) in [
        // Without a requirement, a token needs the token server's own audience. A secret has no audience.
        ("/authz", [200, 200], [401, 200]),
        ("/authz-with/role=viewer", [200, 200], [401, 200]),
        (&issuer, [200, 200], [401, 403]),
        ("/authz-with/aud=kube", [401, 403], [200, 200]),
        (api, [401, 403], [200, 200]),
        (
            "/authz-with/aud=other,aud=kube,role=viewer",
            [401, 403],
            [200, 200],
        ),
        ("/authz-with/aud=other", [401, 403], [401, 403]),
        ("/authz-with/aud=", [403, 403], [403, 403]),
    ] {
        for (key, expected) in [(&plain, of_plain), (&named, of_named)] {
            let (secret, token) = (key.data("secret"), server.token_for(key).await);
            let token = format!("Bearer {}", token.access_token());
            let by_token = ask(server, &format!("{path}/x"), "Authorization", &token);
            let by_secret = ask(server, &format!("{path}/x"), "X-Api-Key", &secret);
            let seen = [by_token.status, by_secret.status];
            assert_eq!(seen, expected, "{path}: {by_token:?} {by_secret:?}");
            if by_token.status == 401 {
                let challenge = &by_token.headers["www-authenticate"];
                assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
                assert!(by_token.body.contains("another audience"));
            }
        }
    }
    let misplaced = ask(
        server,
        "/authz?aud=kube",
        "X-Api-Key",
        &named.data("secret"),
    );
    assert_eq!(misplaced.status, 403, "{misplaced:?}");
    assert!(misplaced.body.contains("/authz-with/"), "{misplaced:?}");
    let refusals = "apikey_refusals_total{route=\"authz\",reason=\"WrongAudience\"}";
    assert!(server.process.metric(refusals) >= Some(1.0));
}

fn encode(json: &Value) -> String {
    BASE64URL.encode(json.to_string())
}

#[tokio::test]
async fn a_forged_token_is_refused_however_it_is_signed() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let key = scope.usable(server, "app", "").await;
    let token = server.token_for(&key).await.access_token();
    let parts: Vec<_> = token.split('.').collect();
    let (header, claims) = (part_of(&token, 0), part_of(&token, 1));
    let with = |change: Value| {
        let mut header = header.clone();
        let changed = change.as_object().unwrap().clone();
        header.as_object_mut().unwrap().extend(changed);
        encode(&header)
    };
    let mut admin = claims.clone();
    admin["roles"] = json!(["admin"]);
    let admin = encode(&admin);
    let now = Timestamp::from_second(claims["iat"].as_i64().unwrap()).unwrap();
    let signed_by = |algorithm, header: &str| {
        let key = SigningKey::generate(algorithm, now, now).unwrap();
        let message = format!("{header}.{}", parts[1]);
        let signature = key.sign(message.as_bytes()).unwrap();
        format!("{message}.{}", BASE64URL.encode(signature.as_ref()))
    };
    let jwk = server.get("/oauth2/jwks", &[]).json()["keys"][0].clone();
    let by_public_key = |secret: &str| {
        let message = format!("{}.{}", with(json!({"alg": "HS256"})), parts[1]);
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(message.as_bytes());
        format!(
            "{message}.{}",
            BASE64URL.encode(mac.finalize().into_bytes())
        )
    };
    let other_end = if parts[2].starts_with('A') { "B" } else { "A" };
    for (what, forged) in [
        ("other claims", format!("{}.{admin}.{}", parts[0], parts[2])),
        (
            "other signature",
            format!("{}.{}.{other_end}{}", parts[0], parts[1], &parts[2][1..]),
        ),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        (
            "alg none",
            format!("{}.{}.", with(json!({"alg": "none"})), parts[1]),
        ),
        (
            "alg None with signature",
            format!("{}.{}.{}", with(json!({"alg": "None"})), parts[1], parts[2]),
        ),
        (
            "another key with our kid",
            signed_by(Algorithm::Es256, parts[0]),
        ),
        (
            "another algorithm with our kid",
            signed_by(Algorithm::EdDsa, &with(json!({"alg": "EdDSA"}))),
        ),
        (
            "a key in the header",
            signed_by(Algorithm::Es256, &with(json!({"kid": "mine", "jwk": jwk}))),
        ),
        (
            "our public key as a password",
            by_public_key(&jwk.to_string()),
        ),
        (
            "x of our public key as a password",
            by_public_key(jwk["x"].as_str().unwrap()),
        ),
    ] {
        let answer = ask(
            server,
            "/authz/x",
            "Authorization",
            &format!("Bearer {forged}"),
        );
        assert_eq!(answer.status, 401, "{what}");
        assert_refused(&answer);
    }
    let whole = ask(
        server,
        "/authz/x",
        "Authorization",
        &format!("Bearer {token}"),
    );
    assert_eq!(whole.status, 200);
}
