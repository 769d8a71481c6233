//! `kubectl apikey token`, `verify` and `inspect`.

use std::process::Command;
use std::time::Duration;

use age::secrecy::ExposeSecret as _;
use k8s_openapi::jiff::SignedDuration;
use serde_json::Value;

use crate::support::{
    Authority, Cluster, Login, Scope, TlsFiles, TokenServer, ahead, eventually, free_address, now,
    outcome, part_of, plugin_file,
};

fn url(server: &TokenServer) -> String {
    format!("http://{}", server.address)
}

#[tokio::test]
async fn a_token_is_got_by_the_delivered_secret_and_verified_by_the_published_keys() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let credential = scope.usable(server, "ci", "").await;
    let url = url(server);
    let got = scope.plugin(&["token", "ci", "--url", &url]);
    assert_eq!(got.stderr, "");
    let token = got.done();
    let token = token.trim_end();
    assert_eq!(part_of(token, 1)["client_id"], credential.data("key-id"));

    let verify = ["verify", "-", "--url", &url];
    let checked = scope.plugin_reads(token, &verify);
    assert!(
        checked.stderr.contains("valid, signed by ES256 key"),
        "{checked:?}"
    );
    let table = checked.done();
    let row = |name: &str| {
        let line = table.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("no {name}: {table}"))
            .to_owned()
    };
    assert!(row("roles").ends_with("viewer"), "{table}");
    assert!(row("exp").contains("(in "), "{table}");
    let json = scope
        .plugin(&["verify", token, "--url", &url, "-o", "json"])
        .json();
    assert_eq!(json["claims"], part_of(token, 1));
    assert_eq!(json["header"]["typ"], "at+jwt");

    // The plugin verifies a token without a network.
    let folder = tempfile::tempdir().unwrap();
    let jwks = folder.path().join("jwks.json");
    std::fs::write(&jwks, server.get("/oauth2/jwks", &[]).body).unwrap();
    let jwks = jwks.to_str().unwrap();
    let issuer = json["claims"]["iss"].as_str().unwrap();
    let offline = |more: &[&str], token: &str| {
        let mut command = Command::new(plugin_file());
        let command = command
            .args(["verify", "-", "--jwks", jwks])
            .args(more)
            .env("KUBECONFIG", "/nonexistent");
        outcome(command, token)
    };
    offline(&["--issuer", issuer, "--audience", issuer], token).done();
    let other = offline(&["--audience", "https://other"], token).failed(5);
    assert!(other.contains("not for 'https://other'"), "{other}");
    let other = offline(&["--issuer", "https://other"], token).failed(5);
    assert!(other.contains("its issuer is"), "{other}");
    let (start, signature) = token.rsplit_once('.').unwrap();
    let changed = if signature.starts_with('A') { "B" } else { "A" };
    let changed = format!("{start}.{changed}{}", &signature[1..]);
    let refused = offline(&[], &changed).failed(5);
    assert!(refused.contains("the signature is wrong"), "{refused}");
    let cut = offline(&[], start).failed(5);
    assert!(cut.contains("three parts"), "{cut}");
    // The issuer of the token is not an https address, so the plugin sends no request to it.
    let unasked = scope.plugin_reads(token, &["verify", "-"]).failed(2);
    assert!(unasked.contains("--issuer"), "{unasked}");
}

#[tokio::test]
async fn an_expired_token_is_reported() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let expiry = ahead(5);
    let key = scope
        .usable(server, "short", &format!("expiry: \"{expiry}\""))
        .await;
    let token = server.token_of(&Login::of(&key)).access_token();
    eventually("the token expires", async || {
        let left = now().duration_until(expiry);
        (left <= SignedDuration::ZERO).then_some(())
    })
    .await;
    let verify = ["verify", "-", "--url", &url(server)];
    let refused = scope.plugin_reads(&token, &verify).failed(5);
    assert!(refused.contains("it expired at"), "{refused}");
    let refused = scope
        .plugin(&["token", "short", "--url", &url(server)])
        .failed(5);
    assert!(refused.contains("401"), "{refused}");
}

#[tokio::test]
async fn a_secret_at_hand_gets_a_token_for_an_organization_with_some_roles() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let root = scope.org();
    let sub = format!("{root}-sub");
    scope.declare(
        root,
        "{roles: [{key: a}, {key: b}], allowedNamespaces: {from: All}}",
    );
    let child = format!("{{parent: {root}, allowedNamespaces: {{from: All}}}}");
    scope.declare(&sub, &child);
    let more = format!("roles: [a, b], subOrgs: [{{org: {sub}}}]");
    let credential = scope.usable(server, "ci", &more).await;
    let secret = credential.data("secret");
    let url = format!("{}/auth/v1/api-key/token", url(server));
    let base = ["token", "--name", "ci", "--secret-file", "-", "--url", &url];
    let ask = |more: &[&str]| scope.plugin_reads(&secret, &[&base[..], more].concat());

    let own = part_of(ask(&[]).done().trim_end(), 1);
    assert_eq!(own["roles"], serde_json::json!(["a", "b"]));
    let answer = eventually("the token server knows the sub-organization", async || {
        let answer = ask(&["--organization", &sub, "--scope", "b", "-o", "json"]);
        (answer.code == 0).then(|| answer.json())
    })
    .await;
    let token = answer["access_token"].as_str().unwrap();
    let claims = part_of(token, 1);
    assert_eq!(
        (&claims["org"], &claims["scope"]),
        (&Value::from(sub), &Value::from("b"))
    );
    let id = claims["currentOrganizationId"].as_str().unwrap();
    let export = ask(&["--organization", id, "-o", "export"]).done();
    assert!(export.starts_with("export API_TOKEN='ey"), "{export}");

    let refused = ask(&["--scope", "c"]).failed(5);
    assert!(refused.contains("400: invalid_scope"), "{refused}");
    let refused = ask(&["--organization", "elsewhere"]).failed(5);
    assert!(refused.contains("403"), "{refused}");
    let wrong = Login::of(&credential).forged(1).secret;
    let refused = scope.plugin_reads(&wrong, &base).failed(5);
    assert!(
        refused.contains("401: invalid API key name or secret"),
        "{refused}"
    );
    let mistyped = scope.plugin_reads("ak_x", &base).failed(2);
    assert!(mistyped.contains("is not a secret"), "{mistyped}");
}

#[tokio::test]
async fn a_refusal_for_too_many_attempts_has_the_time_to_wait() {
    let scope = Scope::shared().await;
    let server = scope
        .cluster
        .token_server(&["--source-failures-per-second=1"]);
    server.ready().await;
    let key = scope.usable(&server, "ci", "").await;
    let wrong = Login::of(&key).forged(1).secret;
    let url = url(&server);
    let ask = ["token", "--name", "ci", "--secret-file", "-", "--url", &url];
    let refused = eventually("the failed attempts use up the budget", async || {
        let refused = scope.plugin_reads(&wrong, &ask).failed(5);
        refused.contains("429").then_some(refused)
    })
    .await;
    assert!(refused.contains("(try again in "), "{refused}");
}

#[tokio::test]
async fn where_no_token_server_is_known_or_answers_the_hint_names_a_flag() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    scope.apply_key("once", "secret: {delivery: RevealOnce}");
    scope.ready("ci").await;
    scope.ready("once").await;
    let unknown = scope.plugin(&["token", "ci"]).failed(2);
    assert!(unknown.contains("--url"), "{unknown}");
    let nobody = format!("http://{}", free_address());
    let refused = scope.plugin(&["token", "ci", "--url", &nobody]).failed(1);
    assert!(refused.contains("can it be reached"), "{refused}");
    let once = scope.plugin(&["token", "once", "--url", &nobody]).failed(2);
    let hint = format!("kubectl apikey reveal once -n {}", scope.namespace);
    assert!(once.contains(&hint), "{once}");
    scope
        .plugin(&["token", "nobody", "--url", &nobody])
        .failed(3);
}

#[tokio::test]
async fn tls_is_checked_by_the_given_authority() {
    let scope = Scope::shared().await;
    let folder = scope.cluster.control_plane.dir().join(&scope.namespace);
    let authority = Authority::new();
    let files = TlsFiles::new(&folder);
    files.put(&authority.server());
    let address = free_address();
    let issuer = format!("https://{address}");
    let flags = files.flags();
    let flags = [&flags[0], &flags[1], &format!("--issuer-url={issuer}")];
    let server = scope
        .cluster
        .token_server_at(address, &flags.map(String::as_str));
    server.ready().await;
    let ca = folder.join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let ca = ca.to_str().unwrap();
    scope.apply_key("ci", "");
    scope.ready("ci").await;
    let ask = ["token", "ci", "--url", &issuer];
    let token = eventually("the token server knows the key", async || {
        let got = scope.plugin(&[&ask[..], &["--ca-file", ca]].concat());
        (got.code == 0).then_some(got.stdout)
    })
    .await;
    let refused = scope.plugin(&ask).failed(1);
    assert!(refused.contains("--ca-file"), "{refused}");
    // The plugin discovers the keys of the given issuer, or of the issuer that the token names.
    let given = ["verify", "-", "--ca-file", ca, "--issuer", &issuer];
    scope.plugin_reads(&token, &given).done();
    let named = scope.plugin_reads(&token, &given[..4]);
    assert!(
        named.stderr.contains("that the token itself names"),
        "{named:?}"
    );
    named.done();
}

#[tokio::test]
async fn a_secret_is_never_an_argument_and_never_printed_back() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    let credential = scope.credential(&scope.ready("ci").await).await;
    let (secret, id) = (credential.data("secret"), credential.data("key-id"));
    for verb in ["inspect", "verify"] {
        let refused = scope.plugin(&[verb, &secret]);
        assert_eq!(refused.stdout, "");
        assert!(!refused.stderr.contains(&secret[20..]), "{refused:?}");
        let refused = refused.failed(2);
        assert!(refused.contains("must not be an argument"), "{refused}");
    }
    let message = scope.plugin_reads(&format!("{secret}\n"), &["inspect", "--find"]);
    let all = format!("{message:?}");
    assert!(!all.contains(&secret[20..]), "{all}");
    let text = message.done();
    assert!(text.contains(&format!("key id: {id}")), "{text}");
    let owner = format!("{}/ci (Active)", scope.namespace);
    assert!(text.contains(&owner), "{text}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("found.txt");
    std::fs::write(&file, format!("x\nA={secret}\n")).unwrap();
    let file = file.to_str().unwrap();
    let found = scope
        .plugin(&["inspect", "--file", file, "-o", "json"])
        .json();
    assert_eq!(found["kind"], "text");
    assert_eq!(found["keyIds"], serde_json::json!([id]));
    let nothing = scope.plugin_reads("hello", &["inspect"]).failed(5);
    assert!(nothing.contains("not a secret"), "{nothing}");
}

#[tokio::test]
async fn a_token_is_inspected_without_a_network() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let key = scope.usable(server, "ci", "").await;
    let token = server.token_for(&key).await.access_token();
    let mut command = Command::new(plugin_file());
    let command = command
        .args(["inspect", &token])
        .env("KUBECONFIG", "/nonexistent");
    let message = outcome(command, "");
    assert!(message.stderr.contains("not checked"), "{message:?}");
    let text = message.done();
    assert!(
        text.contains("typ: at+jwt") && text.contains("exp: "),
        "{text}"
    );
    assert!(!text.contains(&token), "{text}");
}

#[tokio::test]
async fn the_address_in_the_secret_is_asked_unless_another_is_given() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let address = free_address();
    let issuer = format!("--issuer-url=http://{address}");
    let _operator = cluster.operator(&["--leader-elect=false", &issuer]);
    let server = cluster.token_server_at(address, &[&issuer]);
    server.ready().await;
    scope.usable(&server, "ci", "").await;
    let token = eventually("the Secret has the address", async || {
        let got = scope.plugin(&["token", "ci"]);
        (got.code == 0).then_some(got.stdout)
    })
    .await;
    let issuer = issuer.split_once('=').unwrap().1;
    let verify = ["verify", "-", "--issuer", issuer];
    scope.plugin_reads(&token, &verify).done();
    let elsewhere = format!("http://{}", free_address());
    scope
        .plugin(&["token", "ci", "--url", &elsewhere])
        .failed(1);
    let json = scope.plugin(&["reveal", "ci", "-o", "json"]).json();
    let expected = format!("http://{address}/auth/v1/api-key/token");
    assert_eq!(json["tokenUrl"], expected);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    scope.ready("ci").await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let redirecting = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut stream, _) = listener.accept().unwrap();
        let timeout = Some(Duration::from_secs(1));
        stream.set_read_timeout(timeout).unwrap();
        let mut request = [0; 4096];
        while stream.read(&mut request).is_ok_and(|read| read == 4096) {}
        let answer = "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\n\
                      Content-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let url = format!("http://{address}");
    let refused = scope.plugin(&["token", "ci", "--url", &url]).failed(1);
    assert!(refused.contains("it redirects"), "{refused}");
    redirecting.join().unwrap();
}

#[tokio::test]
async fn an_encrypted_secret_is_sent_only_to_an_address_that_the_caller_gives() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let identity = age::x25519::Identity::generate();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.txt");
    std::fs::write(&file, identity.to_string().expose_secret()).unwrap();
    let file = file.to_str().unwrap();
    let recipients = format!("secret: {{recipients: [{}]}}", identity.to_public());
    scope.apply_key("sealed", &recipients);
    scope.ready("sealed").await;

    // A user who may change the Secret, and can't decrypt it, puts another address into it.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let theirs = format!(
        "http://{}/auth/v1/api-key/token",
        listener.local_addr().unwrap()
    );
    let change = serde_json::json!({"stringData": {"token-url": theirs}}).to_string();
    scope.kubectl(&["patch", "secret", "sealed", "--type=merge", "-p", &change]);
    let ask = ["token", "sealed", "--identity", file];
    let refused = scope.plugin(&ask).failed(2);
    assert!(
        refused.contains(&theirs) && refused.contains("--url"),
        "{refused}"
    );
    let untouched = listener.accept().unwrap_err();
    assert_eq!(untouched.kind(), std::io::ErrorKind::WouldBlock);

    let url = url(server);
    let token = eventually("the token server knows the key", async || {
        let got = scope.plugin(&[&ask[..], &["--url", &url]].concat());
        (got.code == 0).then_some(got.stdout)
    })
    .await;
    assert_eq!(part_of(token.trim_end(), 1)["name"], "sealed");
    let mut command = scope.plugin_command();
    let by_variable = command.args(ask).env("KUBECTL_APIKEY_URL", &url);
    outcome(by_variable, "").done();
}
