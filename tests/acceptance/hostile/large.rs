//! Objects of the greatest size that the API server accepts, of every kind that is watched.

use std::fmt::Write as _;

use axum::http::Request;
use futures::StreamExt as _;
use serde_json::{Value, json};

use super::World;
use crate::support::{Cluster, Operator, Scope};

/// The number of objects of each kind. The whole test uses `HOSTILE_OBJECTS=200`.
const OBJECTS: usize = 20;
/// The data of one object in bytes. With names and brackets it stays below the 1.5 MiB of etcd.
const BYTES: usize = 1_400_000;
/// The number of requests at the same time.
const WRITERS: usize = 4;
/// Memory limits of the chart. Unit: MiB.
const CONTROLLER_MIB: u64 = 256;
const TOKEN_SERVER_MIB: u64 = 512;

#[tokio::test]
async fn objects_of_the_greatest_size_leave_both_processes_within_their_limits() {
    let objects = std::env::var("HOSTILE_OBJECTS").ok();
    let objects = objects.and_then(|n| n.parse().ok()).unwrap_or(OBJECTS);
    let cluster = Cluster::start();
    let mut world = World::start(&cluster).await;
    let good = world.key(&world.victim, "good").await;
    let scope = &world.attacker;
    let all: Vec<_> = (0..objects).flat_map(|n| of_each_kind(scope, n)).collect();
    futures::stream::iter(all)
        .for_each_concurrent(WRITERS, |(path, object)| async move {
            let post = Request::post(path).header("Content-Type", "application/json");
            let post = post.body(object.to_string().into_bytes()).unwrap();
            scope.client.request_text(post).await.unwrap();
        })
        .await;
    world.key(&world.victim, "while-they-are-there").await;
    let watched = peaks(&world);
    world.restart(&cluster).await;
    assert_eq!(world.token(&good).status, 200);
    world.key(&world.victim, "after-a-restart").await;
    let listed = peaks(&world);
    println!("{objects} objects of each kind: {watched:?} MiB watched, {listed:?} MiB listed");
    for [controller, server] in [watched, listed] {
        assert!(controller < CONTROLLER_MIB, "controller: {controller} MiB");
        assert!(server < TOKEN_SERVER_MIB, "token server: {server} MiB");
    }
}

/// The peak memory of both processes so far. Unit: MiB.
fn peaks(world: &World<'_>) -> [u64; 2] {
    [&world.operator, &world.server.process].map(peak_mib)
}

fn peak_mib(process: &Operator) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() / 1024
}

/// Where to create an object, and the object.
fn of_each_kind(scope: &Scope<'_>, n: usize) -> [(String, Value); 4] {
    let group = "/apis/apikey-operator.dev/v1alpha1";
    let namespace = &scope.namespace;
    let name = format!("large-{n}");
    let ours = "apikey-operator.dev/v1alpha1";
    let secret_labels = json!({
        "app.kubernetes.io/managed-by": "apikey-operator",
        "app.kubernetes.io/component": "api-key",
    });
    [
        (
            format!("{group}/namespaces/{namespace}/apikeys"),
            json!({"apiVersion": ours, "kind": "ApiKey",
                "metadata": {"name": name, "finalizers": finalizers(BYTES - 400_000),
                    "annotations": {"a": "x".repeat(200_000)}, "labels": labels(200_000)},
                "spec": {"org": scope.org(), "roles": ["viewer"]}}),
        ),
        (
            format!("{group}/organizations"),
            json!({"apiVersion": ours, "kind": "Organization",
                "metadata": {"name": name, "finalizers": finalizers(BYTES)},
                "spec": {"allowedNamespaces": {"from": "All"}}}),
        ),
        (
            "/api/v1/namespaces".into(),
            json!({"apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": name, "labels": labels(BYTES)}}),
        ),
        (
            format!("/api/v1/namespaces/{namespace}/secrets"),
            json!({"apiVersion": "v1", "kind": "Secret",
                "metadata": {"name": format!("large-secret-{n}"), "labels": secret_labels,
                    "finalizers": finalizers(BYTES - 100_000)},
                "stringData": {"x": "x".repeat(50_000)}}),
        ),
    ]
}

fn finalizers(bytes: usize) -> Vec<String> {
    let one = |n| format!("example.com/{}-{n:05}", "f".repeat(50));
    (0..bytes / 72).map(one).collect()
}

fn labels(bytes: usize) -> serde_json::Map<String, Value> {
    let mut key = String::new();
    let one = |n| {
        key.clear();
        write!(key, "example.com/{}-{n:05}", "l".repeat(50)).unwrap();
        (key.clone(), json!("v".repeat(60)))
    };
    (0..bytes / 136).map(one).collect()
}
