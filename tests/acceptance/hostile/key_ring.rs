//! The Secrets of the key rings, in the operator's own namespace.

use apikey_api::names;
use serde_json::json;

use super::{CONTROLLER, Poison, World, poison};
use crate::support::{Cluster, OPERATOR_NAMESPACE, Scope, eventually};

/// The names in the metadata of each ring, as many as fit into one object.
const FINALIZERS: usize = 15_000;

#[tokio::test]
async fn a_ring_is_read_and_grows_whatever_stands_in_its_metadata_and_what_stands_there_stays() {
    let cluster = Cluster::start();
    let mut world = World::start(&cluster).await;
    let old = world.key(&world.victim, "old").await;
    for kind in Poison::ALL {
        for ring in [names::PEPPERS_SECRET, names::SIGNING_KEYS_SECRET] {
            add_finalizers(&world.victim, ring);
            poison(&world.victim, &path(ring), kind).await;
        }
        let name = format!("running-{kind:?}").to_lowercase();
        world.key(&world.victim, &name).await;
        world.restart(&cluster).await;
        assert_eq!(world.token(&old).status, 200);
        let name = format!("started-{kind:?}").to_lowercase();
        world.key(&world.victim, &name).await;
        let unreadable = world.operator.get("/metrics").unwrap().1;
        for ring in [names::PEPPERS_SECRET, names::SIGNING_KEYS_SECRET] {
            let line = format!("apikey_key_ring_unreadable{{secret=\"{ring}\"}} 0");
            assert!(unreadable.contains(&line), "{unreadable}");
        }
    }

    let before = version(&world.victim);
    let other = [&CONTROLLER[..], &["--signing-algorithm=EdDSA"]].concat();
    let _grows = cluster.operator(&other);
    eventually("the operator writes the ring of signing keys", async || {
        (version(&world.victim) != before).then_some(())
    })
    .await;
    let raw = world
        .victim
        .kubectl(&["get", "--raw", &path(names::SIGNING_KEYS_SECRET)]);
    assert_eq!(raw.matches("example.com/held-").count(), FINALIZERS);
    assert!(
        raw.contains(&r#"{"f:a":"#.repeat(200)),
        "the managed fields stay"
    );
    assert_eq!(world.token(&old).status, 200);
}

fn path(ring: &str) -> String {
    format!("/api/v1/namespaces/{OPERATOR_NAMESPACE}/secrets/{ring}")
}

fn add_finalizers(scope: &Scope<'_>, ring: &str) {
    let all: Vec<_> = (0..FINALIZERS)
        .map(|n| format!("example.com/held-{n:05}"))
        .collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    let patch = json!({"metadata": {"finalizers": all}});
    std::fs::write(file.path(), patch.to_string()).unwrap();
    let file = file.path().to_str().unwrap();
    let mut patch = vec!["patch", "secret", ring, "-n", OPERATOR_NAMESPACE];
    patch.extend(["--type=merge", "--patch-file", file]);
    scope.kubectl(&patch);
}

/// The version of the ring of signing keys.
fn version(scope: &Scope<'_>) -> String {
    let ring = names::SIGNING_KEYS_SECRET;
    let version = "jsonpath={.metadata.resourceVersion}";
    scope.kubectl(&[
        "get",
        "secret",
        ring,
        "-n",
        OPERATOR_NAMESPACE,
        "-o",
        version,
    ])
}
