//! The HTTP response of every error of the Appcircle-compatible call.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use apikey_credential::{KeyId, Secret};

use crate::support::{Answer, Scope, TokenServer, ahead, eventually, form};

fn call(server: &TokenServer, name: &str, secret: &str) -> Answer {
    server
        .token(&[("name", name), ("secret", secret)])
        .without_date()
}

#[tokio::test]
async fn whoever_is_no_usable_key_gets_the_same_bytes_whatever_the_reason() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let expiry = ahead(6);
    for (name, more) in [
        ("good", ""),
        ("suspended", ""),
        ("deleted", ""),
        ("short", &*format!("expiry: '{expiry}'")),
    ] {
        scope.apply_key(name, more);
    }
    let mut secrets = std::collections::BTreeMap::new();
    for name in ["good", "suspended", "deleted", "short"] {
        let credential = scope.credential(&scope.ready(name).await).await;
        server.token_for(&credential).await;
        secrets.insert(name, credential.data("secret"));
    }
    scope.kubectl(&[
        "patch",
        "apikey",
        "suspended",
        "--type=merge",
        "-p",
        r#"{"spec":{"suspended":true}}"#,
    ]);
    scope.kubectl(&["delete", "apikey", "deleted"]);

    let forged = Secret::from_entropy(&KeyId::from_entropy([9; 10]), [9; 32]);
    let good = Secret::parse(&secrets["good"]).unwrap();
    let wrong = Secret::from_entropy(good.key_id(), [9; 32]);
    let reference = call(server, "good", "nonsense");
    assert_eq!(reference.status, 401);
    assert_eq!(
        reference.body,
        r#"{"error":"invalid API key name or secret"}"#
    );
    assert_eq!(reference.headers["cache-control"], "no-store");
    assert_eq!(reference.headers["content-type"], "application/json");
    for (what, name, secret) in [
        ("unknown name", "nobody", secrets["good"].as_str()),
        ("unknown key id", "good", forged.expose()),
        ("wrong secret", "good", wrong.expose()),
        ("name of another key", "suspended", &secrets["good"]),
        ("name with NUL", "good\0", &secrets["good"]),
        ("suspended", "suspended", &secrets["suspended"]),
        ("deleted", "deleted", &secrets["deleted"]),
        ("expired", "short", &secrets["short"]),
    ] {
        eventually(what, async || {
            (call(server, name, secret) == reference).then_some(())
        })
        .await;
    }
    assert_eq!(call(server, "good", &secrets["good"]).status, 200);
}

#[tokio::test]
async fn the_answer_to_a_malformed_call_names_what_is_wrong() {
    let server = Scope::token_server().await;
    let path = "/auth/v1/api-key/token";
    let long = format!("name=a&secret={}", "x".repeat(17_000));
    for (status, body, message) in [
        (400, "", "`name` is missing"),
        (400, "name=a", "`secret` is missing"),
        (400, "name=&secret=x", "`name` is missing"),
        (400, "name=a&name=b&secret=x", "`name` is repeated"),
        (
            400,
            "name=a&secret=x&organizationId=42",
            "organizationId must be a valid GUID",
        ),
        (
            400,
            "name=a&secret=x&organization_id=42",
            "`organization_id` is not a field",
        ),
        (400, "name=%ff&secret=x", "not UTF-8"),
        (413, &long, "at most 16384 bytes"),
    ] {
        let answer = server.post(path, &[], body);
        assert_eq!(answer.status, status, "{answer:?}");
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(message), "{error}");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    for kind in [
        "application/json",
        "multipart/form-data; boundary=x",
        "text/plain",
    ] {
        let answer = server.send("POST", path, &[("Content-Type", kind)], b"name=a&secret=x");
        assert_eq!(
            (answer.status, answer.json()["error"].is_string()),
            (415, true)
        );
    }
    let zipped = server.post(path, &[("Content-Encoding", "gzip")], "name=a&secret=x");
    assert_eq!(zipped.status, 415);
    let get = server.get(path, &[]);
    assert_eq!((get.status, get.headers["allow"].as_str()), (405, "POST"));
    assert!(get.json()["error"].is_string());
    assert_eq!(server.get("/nowhere", &[]).status, 404);
}

#[tokio::test]
async fn an_organization_that_the_key_does_not_cover_is_forbidden() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let (root, sub) = (scope.org().to_owned(), format!("{}-sub", scope.org()));
    let sibling = format!("{}-sibling", scope.org());
    scope.declare(&root, "{allowedNamespaces: {from: All}}");
    for name in [&sub, &sibling] {
        scope.declare(
            name,
            &format!("{{parent: {root}, allowedNamespaces: {{from: All}}}}"),
        );
    }
    scope.apply_key("root", &format!("subOrgs: [{{org: {sub}}}]"));
    scope.apply_key(
        "sub",
        &format!("org: {sub}, subOrgs: [{{org: {root}}}, {{org: {sibling}}}]"),
    );
    let id = |name: &str| apikey_policy::default_organization_id(name).to_string();
    for (key, organization, status) in [
        ("root", &root, 200),
        ("root", &sub, 200),
        ("root", &sibling, 403),
        ("sub", &sub, 200),
        ("sub", &root, 403),
        ("sub", &sibling, 403),
    ] {
        let credential = scope.credential(&scope.ready(key).await).await;
        server.token_for(&credential).await;
        let (name, secret) = (credential.data("name"), credential.data("secret"));
        let organization = id(organization);
        let fields = [
            ("name", name.as_str()),
            ("secret", &secret),
            ("organizationId", &organization),
        ];
        let answer = server.token(&fields);
        assert_eq!(answer.status, status, "{key}: {answer:?}");
    }
}

#[tokio::test]
async fn too_many_refusals_are_limited_and_a_valid_caller_is_not() {
    let scope = Scope::shared().await;
    let server = scope
        .cluster
        .token_server(&["--source-failures-per-second=1"]);
    server.ready().await;
    scope.apply_key("good", "");
    let credential = scope.credential(&scope.ready("good").await).await;
    server.token_for(&credential).await;
    let throttled = (0..50)
        .map(|_| call(&server, "good", "nonsense"))
        .find(|a| a.status != 401);
    let throttled = throttled.expect("the guesses did not use up the budget");
    assert_eq!(throttled.status, 429);
    assert!(throttled.headers["retry-after"].parse::<u32>().unwrap() >= 1);
    for _ in 0..20 {
        let good = call(
            &server,
            &credential.data("name"),
            &credential.data("secret"),
        );
        assert_eq!(good.status, 200, "{good:?}");
    }
}

#[tokio::test]
async fn slow_and_idle_clients_take_nothing_from_others() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    scope.apply_key("good", "");
    let credential = scope.credential(&scope.ready("good").await).await;
    server.token_for(&credential).await;
    let idle: Vec<_> = (0..1000)
        .map(|_| TcpStream::connect(server.address).unwrap())
        .collect();
    let slow: Vec<_> = (0..50)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address).unwrap();
            stream
                .write_all(b"POST /auth/v1/api-key/token HTTP/1.1\r\nHost: x\r\nContent-Le")
                .unwrap();
            stream
        })
        .collect();
    let body = form(&[("name", "good"), ("secret", &credential.data("secret"))]);
    let mut halting = TcpStream::connect(server.address).unwrap();
    let head = format!(
        "POST /auth/v1/api-key/token HTTP/1.1\r\nHost: x\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    halting.write_all(head.as_bytes()).unwrap();
    halting.write_all(&body.as_bytes()[..5]).unwrap();
    for _ in 0..20 {
        let answer = call(server, "good", &credential.data("secret"));
        assert_eq!(answer.status, 200);
    }
    // A deadline of the server ends each connection.
    let mut answer = String::new();
    halting.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    for mut stream in idle.into_iter().chain(slow).step_by(100) {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
}
