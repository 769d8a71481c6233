//! Whatever the API server, a token server, a token or a file holds, the plugin shows it to people without
//! what steers a terminal, and in no line of its own.
//!
//! The API server is one that has the same hostile text in every field, also where the real one refuses it.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use axum::Router;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rexpect::session::spawn_command;
use serde_json::{Value, json};

use crate::support::{ENTER, Outcome, outcome, plugin_file, press};

/// Our own styles, as they are written.
const STYLES: [&str; 6] = [
    "\u{1b}[0m",
    "\u{1b}[1m",
    "\u{1b}[2m",
    "\u{1b}[31m",
    "\u{1b}[32m",
    "\u{1b}[33m",
];
/// What the hostile text of a line of its own begins with.
const FORGED: &str = "FORGED";
/// Members that the plugin reads as something else than free text.
const KEPT: [&str; 22] = [
    "apiVersion",
    "kind",
    "uid",
    "expiry",
    "phase",
    "delivery",
    "from",
    "parent",
    "creationTimestamp",
    "lastTransitionTime",
    "expiresAt",
    "lastUsedAt",
    "rotatedAt",
    "validUntil",
    "nextRotationAt",
    "eventTime",
    "renewTime",
    "groupVersion",
    "plural",
    "verbs",
    "status",
    "id",
];

/// How the API server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Everything is hostile.
    All,
    /// Names by which further objects are asked for are good, so that these are shown too.
    Linked,
    /// Every request is refused with this code, in hostile words.
    Refusing(u16),
}

/// Hostile texts: one with every character that steers, and one that does what an attacker would.
fn corpus() -> [String; 2] {
    let codes = (1..0x20).chain(0x7f..0xa0).chain([0x200e, 0x200f]);
    let codes = codes.chain(0x202a..=0x202e).chain(0x2066..=0x2069);
    let every = codes.filter_map(char::from_u32).flat_map(|c| [c, 'x']);
    let attack = format!(
        "\u{1b}[35mX\u{1b}]0;title\u{7}\u{9b}2J\u{202e}\r\n{FORGED}\r{FORGED}\u{85}{FORGED}"
    );
    [every.collect(), attack]
}

#[test]
fn text_of_others_never_steers_the_terminal_of_any_verb() {
    for hostile in corpus() {
        for mode in [
            Mode::All,
            Mode::Linked,
            Mode::Refusing(403),
            Mode::Refusing(422),
        ] {
            let world = World::start(mode, &hostile);
            let mut shown = Vec::new();
            for arguments in verbs(world.address) {
                let said = world.call(&arguments, "");
                if harmless(&said, &format!("{mode:?} {arguments:?}")) == 1 {
                    shown.push(arguments.join(" "));
                }
            }
            let least = if mode == Mode::Linked { 20 } else { 10 };
            assert!(shown.len() >= least, "{mode:?}: shown by {shown:#?}");
        }
    }
}

#[test]
fn a_file_of_others_never_steers_the_terminal_of_lint() {
    for hostile in corpus() {
        let world = World::start(Mode::Linked, &hostile);
        let mut objects = vec![
            key("ci"),
            organization("acme", None),
            json!({
                "apiVersion": "apikey-operator.dev/v1alpha1", "kind": "ApiKey",
                "metadata": {"name": "other", "namespace": "team-a"},
                "spec": {"org": "acme", "roles": ["viewer", "unknown"], "subOrgs": [{"org": "nowhere"}]},
            }),
        ];
        objects.push(objects[0].clone());
        let poisoned = objects.iter().map(|object| {
            let mut object = object.clone();
            poison(&mut object, &hostile, false);
            object["spec"][&hostile] = hostile.as_str().into();
            object["metadata"]["labels"][&hostile] = 1.into();
            object
        });
        let poisoned: Vec<_> = poisoned.collect();
        let list =
            json!({"apiVersion": "v1", "kind": "List", "items": ([poisoned, objects].concat())});
        for more in [&[][..], &["--server"]] {
            let arguments = [&["lint", "-f", "-"], more].concat();
            let said = world.call(&arguments, &list.to_string());
            assert!(harmless(&said, "lint") == 1, "{said:?}");
            assert!(said.stdout.contains("lint") || said.code == 5, "{said:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        let name: String = hostile.chars().filter(|c| *c != '/').collect();
        std::fs::write(folder.path().join(format!("{name}.yaml")), "a: [").unwrap();
        let folder = folder.path().to_str().unwrap();
        let said = world.call(&["lint", "-f", folder], "");
        assert!(
            harmless(&said, "lint of a file with a name") == 1,
            "{said:?}"
        );
    }
}

#[test]
fn a_token_of_others_never_steers_the_terminal() {
    for hostile in corpus() {
        let world = World::start(Mode::Linked, &hostile);
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({"iss": hostile, "sub": hostile, "aud": [hostile, "b"], "exp": 99_999_999_999_u64,
            "client_id": hostile, (hostile.as_str()): {"a": hostile}});
        let header = json!({"typ": hostile, "alg": hostile, "kid": hostile});
        let token = format!("{}.{}.c2ln", part(&header), part(&claims));
        harmless(&world.call(&["inspect", "-"], &token), "inspect");
        let kid = format!("{}.{}.c2ln", part(&header), part(&claims));
        let folder = tempfile::tempdir().unwrap();
        let jwks = folder.path().join("jwks.json");
        for key in [
            json!({"kid": hostile, "kty": hostile}),
            json!({"kid": "other"}),
        ] {
            std::fs::write(&jwks, json!({"keys": [key]}).to_string()).unwrap();
            let jwks = jwks.to_str().unwrap();
            let said = world.call(&["verify", "-", "--jwks", jwks], &kid);
            assert_eq!(harmless(&said, "verify"), 1, "{said:?}");
        }
        let url = format!("http://{}", world.address);
        let said = world.call(&["verify", "-", "--url", &url], &kid);
        harmless(&said, "verify --url");
        let age = format!(
            "age-encryption.org/v1\n-> {}x d\n--- mac\n",
            hostile.replace(['\n', ' '], "")
        );
        let said = world.call(&["inspect", "-"], &age);
        assert_eq!(harmless(&said, "inspect of an age file"), 1, "{said:?}");
    }
}

#[test]
fn a_dialogue_and_what_turns_on_a_terminal_show_no_text_of_others_as_it_is() {
    let hostile = "\u{1b}[35mX\u{1b}]0;title\u{7}\u{9b}2J\u{202e}";
    let world = World::start(Mode::All, hostile);
    let create = [
        "create",
        "new",
        "--org",
        "acme",
        "--role",
        "viewer",
        "--timeout",
        "2s",
    ];
    let dialogue = ["create", "new"];
    for (arguments, answers) in [
        (&["revoke", "ci"][..], &["n"][..]),
        (&["discard-previous", "ci"], &["n"]),
        (&create, &[]),
        (&dialogue, &["", "", " "]),
    ] {
        let mut command = Command::new(plugin_file());
        command
            .args(arguments)
            .env("KUBECONFIG", world.kubeconfig())
            .env("TERM", "xterm-256color");
        let mut session = spawn_command(command, Some(20_000)).unwrap();
        for answer in answers {
            press(&mut session, &[answer, ENTER]);
        }
        // Esc ends a dialogue that goes on.
        press(&mut session, &["\u{1b}"]);
        let said = session.exp_eof().unwrap();
        assert!(said.contains("\\u{202e}"), "{arguments:?}: {said:?}");
        for part in ["\u{1b}[35m", "\u{1b}]0;", "\u{9b}", "\u{202e}"] {
            assert!(!said.contains(part), "{arguments:?}: {said:?}");
        }
    }
}

/// Every verb that shows something of the cluster or of a token server.
fn verbs(server: SocketAddr) -> Vec<Vec<&'static str>> {
    let url: &'static str = format!("http://{server}").leak();
    let calls = [
        &["status", "ci"][..],
        &["status", "once"],
        &["list"],
        &["list", "-A", "-o", "wide"],
        &["list", "-l", "a=b"],
        &["check"],
        &["check", "--url", url],
        &["check", "--wait", "1s"],
        &["version"],
        &["suspend", "ci", "nothing"],
        &["suspend", "--all"],
        &["suspend", "--all", "--org", "acme"],
        &["resume", "--all"],
        &["roles", "add", "ci", "other"],
        &["roles", "set", "ci", "viewer"],
        &["roles", "remove", "ci", "viewer"],
        &["rotate", "ci", "--timeout", "1s"],
        &["rotate", "ci", "--dry-run=server"],
        &["discard-previous", "ci", "--yes", "--timeout", "1s"],
        &["revoke", "--all"],
        &["revoke", "--all", "--yes"],
        &[
            "create",
            "new",
            "--org",
            "acme",
            "--role",
            "viewer",
            "--timeout",
            "1s",
        ],
        &[
            "create",
            "new",
            "--org",
            "acme",
            "--role",
            "viewer",
            "--wait=false",
        ],
        &["reveal", "ci"],
        &["reveal", "ci", "-o", "age"],
        &["reveal", "once", "--yes"],
        &["token", "ci"],
        &["token", "ci", "--url", url],
        &["token", "ci", "--url", url, "-o", "json"],
        &["token", "ci", "--url", url, "-o", "export"],
        &["token", "ci", "--url", url, "--organization", "acme"],
        &["token", "ci", "--url", url, "--scope", "refused"],
        &["__complete", "status", ""],
        &["__complete", "list", "--org", ""],
    ];
    calls.map(<[_]>::to_vec).to_vec()
}

/// Fails if the call wrote what steers a terminal, or a forged line. 1 if it showed some of the hostile text.
fn harmless(said: &Outcome, call: &str) -> usize {
    let all = format!("{}\n{}", said.stdout, said.stderr);
    let plain = STYLES
        .iter()
        .fold(all, |text, style| text.replace(style, ""));
    for line in plain.lines() {
        assert!(!line.trim_start().starts_with(FORGED), "{call}: {said:?}");
    }
    // The completion has a tab between a word and what it is.
    let may_stand = |character: char| match character {
        '\n' => true,
        '\t' => call.contains("__complete"),
        other => {
            !other.is_control()
                && !matches!(other, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        }
    };
    let bad: Vec<_> = plain.chars().filter(|c| !may_stand(*c)).collect();
    assert!(bad.is_empty(), "{call} writes {bad:?}: {said:?}");
    usize::from(plain.contains("\\u{"))
}

/// A cluster and a token server in one, and the plugin that asks them.
struct World {
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl World {
    fn start(mode: Mode, hostile: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let hostile = hostile.to_owned();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let answer = move |method: Method, uri: Uri, headers: HeaderMap, body: String| {
                    let answer = answer((mode, &hostile, address), &method, &uri, &headers, &body);
                    std::future::ready(answer)
                };
                axum::serve(listener, Router::new().fallback(answer))
                    .await
                    .unwrap();
            });
        });
        let world = Self {
            address,
            folder: tempfile::tempdir().unwrap(),
        };
        let config = format!(
            "{{apiVersion: v1, kind: Config, current-context: c, \
             clusters: [{{name: c, cluster: {{server: 'http://{address}'}}}}], \
             users: [{{name: u, user: {{token: x}}}}], \
             contexts: [{{name: c, context: {{cluster: c, user: u, namespace: team-a}}}}]}}"
        );
        std::fs::write(world.kubeconfig(), config).unwrap();
        world
    }

    fn kubeconfig(&self) -> std::path::PathBuf {
        self.folder.path().join("kubeconfig")
    }

    fn call(&self, arguments: &[&str], input: &str) -> Outcome {
        let mut command = Command::new(plugin_file());
        command.args(arguments).env("KUBECONFIG", self.kubeconfig());
        if arguments[0] != "__complete" {
            command.args(["--color", "always"]);
        }
        outcome(&mut command, input)
    }
}

fn answer(
    (mode, hostile, own): (Mode, &str, SocketAddr),
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &str,
) -> Response {
    let path = uri.path();
    if path.starts_with("/auth/")
        || path.starts_with("/oauth2/")
        || path.starts_with("/.well-known")
    {
        return token_server(hostile, path, body);
    }
    if let Mode::Refusing(code) = mode {
        let status = json!({
            "apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": hostile, "code": code,
            "message": format!("refused{hostile}"),
            "details": {"causes": [{"field": hostile, "message": hostile, "reason": hostile}]},
        });
        let code = StatusCode::from_u16(code).unwrap();
        return (
            code,
            [("content-type", "application/json")],
            status.to_string(),
        )
            .into_response();
    }
    let mut object = object(method, path, own);
    if object["kind"] == "Status" {
        let message = format!("nothing{hostile}");
        object["message"] = message.as_str().into();
        return (
            StatusCode::NOT_FOUND,
            [("content-type", "application/json")],
            object.to_string(),
        )
            .into_response();
    }
    if path != "/apis/apikey-operator.dev/v1alpha1" {
        poison(&mut object, hostile, mode == Mode::Linked);
    }
    let accept = headers
        .get("accept")
        .and_then(|accept| accept.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("PartialObjectMetadata")) {
        object["apiVersion"] = "meta.k8s.io/v1".into();
        object["kind"] = "PartialObjectMetadata".into();
    }
    ([("content-type", "application/json")], object.to_string()).into_response()
}

fn token_server(hostile: &str, path: &str, body: &str) -> Response {
    if path.starts_with("/.well-known") {
        let document = json!({"issuer": hostile, "jwks_uri": hostile});
        return (StatusCode::OK, document.to_string()).into_response();
    }
    if path.ends_with("/jwks") {
        return (StatusCode::BAD_GATEWAY, hostile.to_owned()).into_response();
    }
    if body.contains("scope=refused") {
        let refused = json!({"error": hostile, "error_description": hostile});
        return (StatusCode::BAD_REQUEST, refused.to_string()).into_response();
    }
    if body.contains("organizationId") {
        return (StatusCode::IM_A_TEAPOT, hostile.to_owned()).into_response();
    }
    let token = json!({"access_token": format!("ey{hostile}"), "token_type": hostile});
    (StatusCode::OK, token.to_string()).into_response()
}

/// Puts the hostile text behind every text.
fn poison(value: &mut Value, hostile: &str, is_linked: bool) {
    match value {
        Value::String(text) => {
            let _ = write!(text, "{hostile}");
        }
        Value::Array(items) => {
            for item in items {
                poison(item, hostile, is_linked);
            }
        }
        Value::Object(fields) => {
            let links = ["name", "org", "secretName"];
            for (name, field) in fields {
                let name = name.as_str();
                if name == "data" {
                    poison_data(field, hostile);
                } else if name == "status" && field.is_object()
                    || !KEPT.contains(&name) && !(is_linked && links.contains(&name))
                {
                    poison(field, hostile, is_linked);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The same for the data of a Secret.
fn poison_data(data: &mut Value, hostile: &str) {
    for field in data.as_object_mut().unwrap().values_mut() {
        let text = STANDARD.decode(field.as_str().unwrap()).unwrap();
        let text = format!("{}{hostile}", String::from_utf8(text).unwrap());
        *field = STANDARD.encode(text).into();
    }
}

/// What the API server has.
fn object(method: &Method, path: &str, own: SocketAddr) -> Value {
    let last = path.rsplit('/').next().unwrap_or_default();
    let list = |items: Vec<Value>| {
        json!({"apiVersion": "v1", "kind": "List",
        "metadata": {"resourceVersion": "1"}, "items": items})
    };
    let unreadable = || {
        let mut key = key("odd");
        key["spec"]["roles"] = "no list".into();
        key
    };
    match last {
        "apis" => json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [{
            "name": "apikey-operator.dev", "versions": [{"groupVersion": "apikey-operator.dev/v1alpha1",
            "version": "v1alpha1"}]}]}),
        "v1alpha1" => json!({"kind": "APIResourceList", "apiVersion": "v1",
            "groupVersion": "apikey-operator.dev/v1alpha1", "resources": [
            {"name": "apikeys", "singularName": "", "namespaced": true, "kind": "ApiKey", "verbs": []},
            {"name": "organizations", "singularName": "", "namespaced": false, "kind": "Organization",
             "verbs": []}]}),
        "apikeys" if method == Method::POST => key("new"),
        "apikeys" => list(vec![key("ci"), key("other"), unreadable()]),
        "organizations" => list(vec![
            organization("acme", Some("root")),
            organization("root", None),
        ]),
        "leases" => list(vec![
            json!({"metadata": {"name": "l", "namespace": "n"}, "spec": {
            "holderIdentity": "pod", "renewTime": "2999-01-01T00:00:00.000000Z"}}),
        ]),
        "events" => list(vec![
            json!({"metadata": {"name": "e", "namespace": "team-a"}, "eventTime":
            "2026-01-01T00:00:00.000000Z", "reason": "Issued", "note": "a note", "type": "Warning",
            "regarding": {"name": "ci"}}),
        ]),
        _ if path.contains("/apikeys/") => key(last),
        _ if path.contains("/organizations/") => {
            organization(last, (last == "acme").then_some("root"))
        }
        _ if path.contains("/secrets/") => secret(last, own),
        _ => json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 404,
            "reason": "NotFound"}),
    }
}

fn key(name: &str) -> Value {
    let condition = |kind: &str, status: &str| {
        json!({"type": kind, "status": status, "reason": "Reason", "message": "a message",
            "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let delivery = if name == "once" { "RevealOnce" } else { "Keep" };
    json!({
        "apiVersion": "apikey-operator.dev/v1alpha1", "kind": "ApiKey",
        "metadata": {"name": name, "namespace": "team-a", "uid": "u", "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": "1",
            "annotations": {"meta.helm.sh/release-name": "r"}},
        "spec": {"org": "acme", "roles": ["viewer", "lost"], "name": "login", "description": "what for",
            "secret": {"delivery": delivery}, "subOrgs": [{"org": "nowhere", "roles": ["viewer"]}]},
        "status": {"observedGeneration": 1, "phase": "Active", "keyId": "0123456789abcdef",
            "email": "e@x", "name": "login", "organizationId": "o", "secretName": name,
            "roles": ["viewer"], "revision": 2, "expiresAt": "2999-01-01T00:00:00Z",
            "rotatedAt": "2026-01-01T00:00:00Z", "handledRotateRequest": "h",
            "previousSecret": {"revision": 1, "validUntil": "2999-01-01T00:00:00Z"},
            "conditions": [condition("Ready", "False"), condition("Delivered", "False"),
                condition("Further", "Unknown")]},
    })
}

fn organization(name: &str, parent: Option<&str>) -> Value {
    let mut organization = json!({
        "apiVersion": "apikey-operator.dev/v1alpha1", "kind": "Organization",
        "metadata": {"name": name, "uid": "u", "generation": 1, "resourceVersion": "1"},
        "spec": {"displayName": "shown", "owners": ["mail@x"], "allowedNamespaces": {"from": "All"},
            "roles": [{"key": "viewer", "description": "may look"}], "audiences": ["a"]},
    });
    if let Some(parent) = parent {
        organization["spec"]["parent"] = parent.into();
    }
    organization
}

fn secret(name: &str, own: SocketAddr) -> Value {
    let url = format!("http://{own}/auth/v1/api-key/token");
    let data = [
        ("name", "login"),
        ("key-id", "0123456789abcdef"),
        ("organization-id", "o"),
        ("secret", "ak_x"),
        ("token-url", &url),
    ];
    let data: serde_json::Map<_, _> = data
        .iter()
        .map(|(key, value)| ((*key).to_owned(), STANDARD.encode(value).into()))
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "namespace": "team-a", "resourceVersion": "1",
            "annotations": {"apikey-operator.dev/revision": "1", "apikey-operator.dev/verifier": "v"},
            "labels": {"apikey-operator.dev/key-id": "k"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "ApiKey", "name": name, "uid": "u",
                "controller": true}]},
        "data": data,
    })
}
