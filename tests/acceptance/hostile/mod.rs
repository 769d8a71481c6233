//! An object with any contents that the API server stores harms at most its author.
//!
//! Each test has a tenant whose objects are as hostile as the API server permits, and another tenant that must not be
//! affected: suspensions and deletions have their effect, keys are minted, processes become ready.

mod apikey;
mod chatter;
mod delivered_secret;
mod key_ring;
mod large;
mod namespace;
mod organization;
mod plugin;
mod set_back;
mod status;
mod terminal;
mod turns;

use axum::http::Request;
use serde_json::Value;

use crate::support::{Answer, Cluster, Login, Operator, Scope, TokenServer, eventually};

/// Managed fields that the API server accepts from every user who may update the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Poison {
    /// A time that few programs can represent.
    Time,
    /// Fields nested deeper than parsers recurse.
    Depth,
}

impl Poison {
    const ALL: [Self; 2] = [Self::Time, Self::Depth];

    fn managed_fields(self, api_version: &str) -> String {
        let (time, depth) = match self {
            Self::Time => ("9999-12-31T23:59:59Z", 1),
            Self::Depth => ("2026-01-01T00:00:00Z", 200),
        };
        let fields = r#"{"f:a":"#.repeat(depth) + "{}" + &"}".repeat(depth);
        format!(
            r#"[{{"manager": "x", "operation": "Update", "apiVersion": "{api_version}",
                "time": "{time}", "fieldsType": "FieldsV1", "fieldsV1": {fields}}}]"#
        )
    }
}

/// Replaces an object with a copy that has these `managedFields`.
async fn poison(scope: &Scope<'_>, path: &str, poison: Poison) {
    let get = Request::get(path).body(Vec::new()).unwrap();
    let mut object: Value = scope.client.request(get).await.unwrap();
    let api_version = object["apiVersion"].as_str().unwrap().to_owned();
    object["metadata"]["managedFields"] = "POISON".into();
    let fields = poison.managed_fields(&api_version);
    let text = object.to_string().replacen(r#""POISON""#, &fields, 1);
    let put = Request::put(path).header("Content-Type", "application/json");
    let put = put.body(text.into_bytes()).unwrap();
    let stored = scope.client.request_text(put).await.unwrap();
    let is_kept = match poison {
        Poison::Time => stored.contains("9999-12-31T23:59:59Z"),
        Poison::Depth => stored.contains(&r#"{"f:a":"#.repeat(200)),
    };
    assert!(is_kept, "the API server did not keep it: {stored}");
}

fn apikey_path(scope: &Scope<'_>, name: &str) -> String {
    let group = "apis/apikey-operator.dev/v1alpha1";
    format!("/{group}/namespaces/{}/apikeys/{name}", scope.namespace)
}

/// Gives a field of a spec this schema, as a newer version of the definition may.
fn take_newer(scope: &Scope<'_>, crd: &str, field: &str, schema: &str) {
    let path =
        format!("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/{field}");
    let newer = format!(r#"[{{"op": "replace", "path": "{path}", "value": {schema}}}]"#);
    scope.kubectl(&["patch", "crd", crd, "--type=json", "-p", &newer]);
}

/// Stores a key with a part of a newer version in its spec, once the API server accepts that.
async fn store_newer(scope: &Scope<'_>, name: &str, newer: &str) {
    let yaml = scope.key_yaml(name, newer);
    eventually("the API server accepts the newer form", async || {
        scope.try_apply(&yaml).ok()
    })
    .await;
}

/// Stores a key of a newer version that this version can't read.
async fn make_unreadable(scope: &Scope<'_>, name: &str) {
    take_newer(scope, KEYS, "suspended", r#"{"type": "string"}"#);
    store_newer(scope, name, "suspended: 'until-friday'").await;
}

/// Both processes, and two tenants with an organization each.
struct World<'a> {
    operator: Operator,
    server: TokenServer,
    attacker: Scope<'a>,
    victim: Scope<'a>,
}

const KEYS: &str = "apikeys.apikey-operator.dev";
const ORGANIZATIONS: &str = "organizations.apikey-operator.dev";
const CONTROLLER: [&str; 1] = ["--leader-elect=false"];
const SERVER: [&str; 2] = ["--record-last-used=false", "--max-staleness=30s"];

impl<'a> World<'a> {
    async fn start(cluster: &'a Cluster) -> Self {
        let world = Self {
            operator: cluster.operator(&CONTROLLER),
            server: cluster.token_server(&SERVER),
            attacker: cluster.scope().await,
            victim: cluster.scope().await,
        };
        for scope in [&world.attacker, &world.victim] {
            scope.declare(scope.org(), "{allowedNamespaces: {from: All}}");
        }
        world.server.ready().await;
        world
    }

    /// A key that gets tokens.
    async fn key(&self, scope: &Scope<'_>, name: &str) -> Login {
        Login::of(&scope.usable(&self.server, name, "").await)
    }

    /// Kills both processes, starts new ones, and waits until they are ready.
    async fn restart(&mut self, cluster: &Cluster) {
        self.operator = cluster.operator(&CONTROLLER);
        self.server = cluster.token_server(&SERVER);
        self.server.ready().await;
        is_ready("the controller", &self.operator).await;
    }

    async fn refused(&self, what: &str, key: &Login) {
        refused(&self.server, what, key).await;
    }

    fn token(&self, key: &Login) -> Answer {
        self.server.token_of(key)
    }
}

async fn is_ready(what: &str, process: &Operator) {
    eventually(&format!("{what} is ready"), async || {
        (process.get("/readyz")?.0 == 200).then_some(())
    })
    .await;
}

async fn refused(server: &TokenServer, what: &str, key: &Login) {
    eventually(what, async || {
        (server.token_of(key).status == 401).then_some(())
    })
    .await;
}
