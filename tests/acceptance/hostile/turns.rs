//! No tenant waits until the work of another one is done.

use std::fmt::Write as _;

use apikey_api::{ApiKey, names};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};

use crate::support::{Cluster, Scope, eventually, outcome};

/// The number of keys of the busy tenant.
const KEYS: usize = 150;

#[tokio::test]
async fn a_new_key_does_not_wait_until_the_many_keys_of_another_tenant_are_replaced() {
    others_notice_nothing(1).await;
}

#[tokio::test]
async fn a_new_key_does_not_wait_for_a_tenant_that_has_its_many_keys_in_many_namespaces() {
    others_notice_nothing(30).await;
}

/// A tenant with keys in this many namespaces loses all Secrets at once, and another tenant creates a key.
async fn others_notice_nothing(namespaces: usize) {
    let cluster = Cluster::start();
    let _operator = cluster.operator(&["--leader-elect=false", "--concurrency=4"]);
    let (attacker, victim) = (cluster.scope().await, cluster.scope().await);
    let namespaces: Vec<_> = (0..namespaces).map(|n| format!("many-{n}")).collect();
    let mut apply = cluster.control_plane.kubectl();
    let apply = apply.args(["apply", "-f", "-"]);
    outcome(apply, &documents(&attacker, &namespaces)).done();
    eventually("all keys have a Secret", async || {
        (with_revision(&attacker, 1).await == KEYS).then_some(())
    })
    .await;

    let delivered = names::component_selector(names::COMPONENT_API_KEY);
    let delivered = ListParams::default().labels(&delivered);
    let delete = DeleteParams::default();
    for namespace in &namespaces {
        let secrets = Api::<Secret>::namespaced(attacker.client.clone(), namespace);
        let deleted = secrets.delete_collection(&delete, &delivered);
        deleted.await.unwrap();
    }
    let key: ApiKey = serde_saphyr::from_str(&victim.key_yaml("new", "")).unwrap();
    let created = victim.keys().create(&PostParams::default(), &key).await;
    created.unwrap();
    victim.ready("new").await;
    let replaced = with_revision(&attacker, 2).await;
    println!("{replaced} of {KEYS} keys were replaced when the other one was ready");
    assert!(replaced < KEYS * 2 / 3, "{replaced} of {KEYS}");
}

/// Creates the namespaces, with the same number of keys in each.
fn documents(attacker: &Scope<'_>, namespaces: &[String]) -> String {
    let mut documents = String::new();
    for namespace in namespaces {
        let _ = write!(
            documents,
            "---\n{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}}}}}\n"
        );
        for n in 0..KEYS / namespaces.len() {
            let _ = write!(
                documents,
                "---\n{{apiVersion: apikey-operator.dev/v1alpha1, kind: ApiKey, \
                 metadata: {{name: key-{n}, namespace: {namespace}}}, \
                 spec: {{org: {}, roles: [viewer]}}}}\n",
                attacker.org()
            );
        }
    }
    documents
}

/// The number of keys of the organization at this revision.
async fn with_revision(scope: &Scope<'_>, revision: i64) -> usize {
    let keys = Api::<ApiKey>::all(scope.client.clone());
    let keys = keys.list(&ListParams::default()).await.unwrap();
    let keys = keys.iter().filter(|key| key.spec.org == scope.org());
    let revisions = keys.map(|key| key.status.as_ref()?.revision);
    revisions.filter(|found| *found == Some(revision)).count()
}
