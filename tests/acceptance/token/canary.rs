//! Neither process shows a secret, token, pepper, private key or hash in any response.

use apikey_api::names;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use crate::support::{Cluster, Login, Operator, Scope, TokenServer, eventually, form, part_of};

/// Calls every route with right and wrong values in every place. Returns the tokens.
fn ask_everything(server: &TokenServer, key: &Login, wrong: &Login) -> Vec<String> {
    let mut tokens = Vec::new();
    for login in [key, wrong] {
        let (name, secret) = (login.name.as_str(), login.secret.as_str());
        let mut answers = vec![
            server.token_of(login),
            // The caller swaps name and secret, and puts the secret into wrong fields.
            server.token(&[("name", secret), ("secret", name)]),
            server.token(&[("name", name), ("secret", secret), (secret, secret)]),
            server.token(&[
                ("name", name),
                ("secret", secret),
                ("organizationId", secret),
            ]),
            server.get(&format!("/{secret}"), &[]),
            server.get(&format!("/authz/{secret}?secret={secret}"), &[]),
            server.get(
                &format!("/authz-with/org={secret}/x"),
                &[("x-api-key", secret)],
            ),
        ];
        let basic = format!("Basic {}", BASE64.encode(format!("{name}:{secret}")));
        let grant = ("grant_type", "client_credentials");
        let more = [("Authorization", basic.as_str())];
        answers.push(server.post("/oauth2/token", &more, &form(&[grant])));
        let scope = form(&[grant, ("scope", secret)]);
        answers.push(server.post("/oauth2/token", &more, &scope));
        for answer in &answers {
            if answer.status == 200 && answer.body.contains("access_token") {
                tokens.push(answer.access_token());
            }
        }
        let mut presented = vec![secret.to_owned()];
        presented.extend(tokens.iter().cloned());
        presented.extend(
            tokens
                .iter()
                .map(|token| format!("{}x", &token[..token.len() - 4])),
        );
        for value in &presented {
            let bearer = format!("Bearer {value}");
            let bearer = [("Authorization", bearer.as_str())];
            server.get("/authz/x", &bearer);
            server.get("/authz-with/role=nobody/x", &bearer);
            server.get("/authz", &[("x-api-key", value)]);
            server.introspect(login, value);
            server.post("/oauth2/introspect", &bearer, &form(&[("token", value)]));
        }
    }
    for path in [
        "/oauth2/jwks",
        "/.well-known/openid-configuration",
        "/openapi.json",
    ] {
        assert_eq!(server.get(path, &[]).status, 200);
    }
    tokens
}

/// The values that no output may contain: of the key, of the tokens, and of the rings.
async fn forbidden(
    scope: &Scope<'_>,
    login: &[&Login],
    tokens: &[String],
) -> Vec<(String, String)> {
    let mut values = Vec::new();
    let mut add = |what: &str, value: &str| values.push((what.to_owned(), value.to_owned()));
    for login in login {
        add("secret", login.secret.rsplit_once('_').unwrap().1);
        add("secret in base 64", &BASE64.encode(&login.secret)[32..]);
        add(
            "Basic credentials",
            &BASE64.encode(format!("{}:{}", login.name, login.secret))[44..],
        );
    }
    for token in tokens {
        add("signature of a token", token.rsplit_once('.').unwrap().1);
    }
    let key = scope.ready("ci").await;
    let entry = scope.document(&key).await.unwrap().current;
    add("hash", &entry.hash);
    add("fingerprint", &entry.fingerprint.value);
    for (ring, list) in [
        (names::PEPPERS_SECRET, "peppers"),
        (names::SIGNING_KEYS_SECRET, "keys"),
    ] {
        let secret = scope.operator_secrets().get(ring).await.unwrap();
        let json = &secret.data.unwrap()[names::KEY_RING_DATA_KEY].0;
        add(ring, &BASE64.encode(json)[..60]);
        let ring_json: Value = serde_json::from_slice(json).unwrap();
        for key in ring_json[list].as_array().unwrap() {
            add(ring, key["key"].as_str().unwrap());
        }
    }
    values
}

#[tokio::test]
async fn nothing_secret_is_shown_at_any_log_level_by_any_route() {
    let cluster = Cluster::start();
    let controller = cluster.operator(&["--leader-elect=false", "--log-level=trace"]);
    let servers = ["text", "json"]
        .map(|format| cluster.token_server(&["--log-level=trace", "--log-format", format]));
    let scope = cluster.scope().await;
    scope.apply_key("ci", "");
    let credential = scope.credential(&scope.ready("ci").await).await;
    let key = Login::of(&credential);
    let wrong = key.forged(9);
    let mut tokens = Vec::new();
    for server in &servers {
        server.ready().await;
        server.token_for(&credential).await;
        tokens.extend(ask_everything(server, &key, &wrong));
    }
    assert!(tokens.len() >= 4, "{}", tokens.len());
    let jti = part_of(tokens.last().unwrap(), 1)["jti"]
        .as_str()
        .unwrap()
        .to_owned();
    let shown = |process: &Operator| {
        let metrics = process.get("/metrics").unwrap().1;
        [process.stdout(), process.stderr(), metrics]
    };
    eventually("the audit lines have the last token", async || {
        servers[1].process.stdout().contains(&jti).then_some(())
    })
    .await;
    let events = eventually("the API server has the Events", async || {
        let events = scope.kubectl(&["get", "events", "-A", "-o", "yaml"]);
        events.contains("Issued").then_some(events)
    })
    .await;
    let objects = scope.kubectl(&["get", "apikeys,organizations", "-A", "-o", "yaml"]);
    let mut places = vec![("events", events), ("objects", objects)];
    let processes = [&controller, &servers[0].process, &servers[1].process];
    for (who, process) in ["controller", "token server", "token server"]
        .into_iter()
        .zip(processes)
    {
        places.extend(shown(process).map(|text| (who, text)));
        assert!(process.stderr().contains("TRACE"));
    }
    for (what, value) in forbidden(&scope, &[&key, &wrong], &tokens).await {
        assert!(value.len() >= 20, "{what} is too short to search for");
        for (place, text) in &places {
            assert!(!text.contains(&value), "the {place} contains a {what}");
        }
    }
}
