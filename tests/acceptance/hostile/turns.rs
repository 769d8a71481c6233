//! Nobody waits until the work of another tenant is done.

use apikey_operator::api::{ApiKey, names};
use kube::api::{DeleteParams, ListParams, PostParams};

use crate::support::{Cluster, Scope, eventually};

/// Keys of the tenant who makes work.
const KEYS: usize = 150;

#[tokio::test]
async fn a_new_key_does_not_wait_until_the_many_keys_of_another_tenant_are_replaced() {
    let cluster = Cluster::start();
    let _operator = cluster.operator(&["--leader-elect=false", "--concurrency=4"]);
    let (attacker, victim) = (cluster.scope().await, cluster.scope().await);
    let keys: Vec<_> = (0..KEYS)
        .map(|n| attacker.key_yaml(&format!("many-{n}"), ""))
        .collect();
    attacker.apply(&keys.join("\n---\n"));
    eventually("all keys have a secret", async || {
        (with_revision(&attacker, 1).await == KEYS).then_some(())
    })
    .await;

    let delivered = names::component_selector(names::COMPONENT_API_KEY);
    let delivered = ListParams::default().labels(&delivered);
    let delete = DeleteParams::default();
    let secrets = attacker.secrets();
    secrets
        .delete_collection(&delete, &delivered)
        .await
        .unwrap();
    let key: ApiKey = serde_saphyr::from_str(&victim.key_yaml("new", "")).unwrap();
    let created = victim.keys().create(&PostParams::default(), &key).await;
    created.unwrap();
    victim.ready("new").await;
    let replaced = with_revision(&attacker, 2).await;
    println!("{replaced} of {KEYS} keys were replaced when the other one was ready");
    assert!(replaced < KEYS / 2, "{replaced} of {KEYS}");
}

/// How many keys are at this revision.
async fn with_revision(scope: &Scope<'_>, revision: i64) -> usize {
    let keys = scope.keys().list(&ListParams::default()).await.unwrap();
    let revisions = keys.iter().map(|key| key.status.as_ref()?.revision);
    revisions.filter(|found| *found == Some(revision)).count()
}
