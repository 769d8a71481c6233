//! A server that answers with hostile text as API server and as token server, and the plugin that calls it. The plugin
//! shows each object in full.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use axum::Router;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{Outcome, outcome, plugin_file};

/// Fields that the plugin does not read as free text.
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

/// How the API server responds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// All texts are hostile.
    All,
    /// Names of further requests are good, so that the plugin shows these objects too.
    Linked,
    /// The API server refuses every request with this code and a hostile message.
    Refusing(u16),
}

/// A server that acts as cluster and token server, and the plugin that sends it requests.
pub(super) struct World {
    pub(super) address: SocketAddr,
    folder: tempfile::TempDir,
}

impl World {
    pub(super) fn start(mode: Mode, hostile: &str) -> Self {
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

    pub(super) fn kubeconfig(&self) -> std::path::PathBuf {
        self.folder.path().join("kubeconfig")
    }

    pub(super) fn call(&self, arguments: &[&str], input: &str) -> Outcome {
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

/// Appends the hostile text to every text.
pub(super) fn poison(value: &mut Value, hostile: &str, is_linked: bool) {
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
                    continue;
                }
                let is_read = KEPT.contains(&name) && !(name == "status" && field.is_object());
                let is_link = is_linked && links.contains(&name);
                if !(is_read || is_link) {
                    poison(field, hostile, is_linked);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Appends the hostile text to the data of a Secret.
fn poison_data(data: &mut Value, hostile: &str) {
    for field in data.as_object_mut().unwrap().values_mut() {
        let text = STANDARD.decode(field.as_str().unwrap()).unwrap();
        let text = format!("{}{hostile}", String::from_utf8(text).unwrap());
        *field = STANDARD.encode(text).into();
    }
}

/// The objects of the API server.
fn object(method: &Method, path: &str, own: SocketAddr) -> Value {
    let kind_or_name = path.rsplit('/').next().unwrap_or_default();
    let list = |items: Vec<Value>| {
        json!({"apiVersion": "v1", "kind": "List",
        "metadata": {"resourceVersion": "1"}, "items": items})
    };
    let unreadable = || {
        let mut key = key("odd");
        key["spec"]["roles"] = "no list".into();
        key
    };
    match kind_or_name {
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
        _ if path.contains("/apikeys/") => key(kind_or_name),
        _ if path.contains("/organizations/") => {
            organization(kind_or_name, (kind_or_name == "acme").then_some("root"))
        }
        _ if path.contains("/secrets/") => secret(kind_or_name, own),
        _ => json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 404,
            "reason": "NotFound"}),
    }
}

pub(super) fn key(name: &str) -> Value {
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

pub(super) fn organization(name: &str, parent: Option<&str>) -> Value {
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
