//! Labels of namespaces.

use std::fmt::Write as _;

use super::World;
use crate::support::Cluster;

#[tokio::test]
async fn a_namespace_whose_labels_are_not_known_matches_no_selector_not_even_one_of_absence() {
    let cluster = Cluster::start();
    let mut world = World::start(&cluster).await;
    let (attacker, victim) = (&world.attacker, &world.victim);
    let absent = "{allowedNamespaces: {from: Selector, selector: {matchExpressions: \
                  [{key: quarantine, operator: DoesNotExist}]}}}";
    attacker.declare(attacker.org(), absent);
    let [bad, good] = [
        world.key(attacker, "bad").await,
        world.key(victim, "good").await,
    ];
    // These are more labels than the cache keeps. The label of the selector is among them.
    let mut labels = String::from(r#""quarantine": "yes""#);
    for n in 0..1500 {
        write!(labels, r#", "example.com/{n:04}": "{}""#, "v".repeat(50)).unwrap();
    }
    let namespace = &attacker.namespace;
    let patch = format!(r#"{{"metadata": {{"labels": {{{labels}}}}}}}"#);
    attacker.kubectl(&[
        "patch",
        "namespace",
        namespace,
        "--type=merge",
        "-p",
        &patch,
    ]);
    world.refused("the key of the namespace", &bad).await;
    attacker.refused("bad", "NamespaceUnreadable").await;
    world.restart(&cluster).await;
    assert_eq!(world.token(&bad).status, 401);
    assert_eq!(world.token(&good).status, 200);
    let series = r#"apikey_unreadable_objects{kind="Namespace"}"#;
    assert_eq!(world.operator.metric(series), Some(1.0));
    assert_eq!(world.server.process.metric(series), Some(1.0));
}
