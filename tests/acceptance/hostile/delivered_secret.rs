//! Secrets in tenants' namespaces with the label of delivered ones.

use super::{Poison, World, poison};
use crate::support::Cluster;

#[tokio::test]
async fn labelled_secrets_that_nobody_can_read_hold_up_no_controller_that_starts() {
    let cluster = Cluster::start();
    let mut world = World::start(&cluster).await;
    let namespace = world.attacker.namespace.clone();
    for kind in Poison::ALL {
        let name = format!("bad-{kind:?}").to_lowercase();
        world.attacker.apply(&format!(
            "{{apiVersion: v1, kind: Secret, metadata: {{name: {name}, labels: \
             {{app.kubernetes.io/managed-by: apikey-operator, \
             app.kubernetes.io/component: api-key}}}}}}"
        ));
        let path = format!("/api/v1/namespaces/{namespace}/secrets/{name}");
        poison(&world.attacker, &path, kind).await;
    }
    world.restart(&cluster).await;
    world.key(&world.victim, "new").await;
    // The operator also watches, rotates and replaces the hostile Secret of a key like any other.
    let no_overlap = "rotation: {overlapSeconds: 0}";
    world.attacker.usable(&world.server, "ci", no_overlap).await;
    let path = format!("/api/v1/namespaces/{namespace}/secrets/ci");
    for (n, kind) in Poison::ALL.into_iter().enumerate() {
        poison(&world.attacker, &path, kind).await;
        let token = n.to_string();
        let annotation = format!("apikey-operator.dev/rotate-requested-at={token}");
        world
            .attacker
            .kubectl(&["annotate", "apikey", "ci", "--overwrite", &annotation]);
        world.attacker.rotated("ci", &token).await;
    }
    world.attacker.kubectl(&["delete", "secret", "ci"]);
    world.attacker.delivered("ci").await;
}
