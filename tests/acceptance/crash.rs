//! Crashes and concurrent controllers never lose or duplicate a secret.

use std::collections::BTreeSet;
use std::time::Duration;

use apikey_api::ApiKey;
use kube::api::ListParams;

use crate::support::{Cluster, OPERATOR_NAMESPACE, Scope, eventually};

const KEYS: usize = 50;

fn create_all(scope: &Scope<'_>) {
    let all: Vec<_> = (0..KEYS)
        .map(|n| scope.key_yaml(&format!("key-{n}"), ""))
        .collect();
    scope.apply(&all.join("\n---\n"));
}

async fn all_active(scope: &Scope<'_>) -> Vec<ApiKey> {
    let keys = scope.keys();
    eventually("all keys are ready", async || {
        let list = keys.list(&ListParams::default()).await.unwrap().items;
        let ready = list.iter().filter(|key| {
            crate::support::ready_reason(key) == ("True".to_owned(), "Issued".to_owned())
        });
        (ready.count() == KEYS).then_some(list)
    })
    .await
}

/// Checks that each key has one delivered secret, which its credential record proves, and one credential record.
async fn assert_all_sound(scope: &Scope<'_>) {
    let mut secrets = BTreeSet::new();
    for key in all_active(scope).await {
        let credential = scope.credential(&key).await;
        assert!(
            credential.proves(&credential.document.current),
            "{:?}",
            key.metadata.name
        );
        assert!(credential.document.pending.len() <= 4);
        secrets.insert(credential.data("secret"));
    }
    assert_eq!(secrets.len(), KEYS);
    let ours = ListParams::default().labels("app.kubernetes.io/component=verifier");
    let records = scope
        .operator_secrets()
        .list_metadata(&ours)
        .await
        .unwrap()
        .items;
    assert_eq!(
        records.len(),
        KEYS,
        "credential records in {OPERATOR_NAMESPACE}"
    );
    let delivered = ListParams::default().labels("app.kubernetes.io/component=api-key");
    assert_eq!(
        scope
            .secrets()
            .list_metadata(&delivered)
            .await
            .unwrap()
            .items
            .len(),
        KEYS
    );
}

#[tokio::test]
async fn an_operator_killed_at_random_moments_loses_and_doubles_nothing() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let arguments = ["--leader-elect=false", "--concurrency=4"];
    create_all(&scope);
    let seed = std::process::id();
    println!("seed {seed}");
    let mut state = u64::from(seed) | 1;
    for _ in 0..12 {
        let operator = cluster.operator(&arguments);
        // xorshift64: moments between 0.1 s (starting) and 0.6 s (in the middle of the work).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let moment = Duration::from_millis(100 + state % 500);
        let _ = tokio::time::timeout(moment, std::future::pending::<()>()).await;
        operator.kill();
    }
    let _operator = cluster.operator(&arguments);
    assert_all_sound(&scope).await;
}

#[tokio::test]
async fn two_controllers_at_once_waste_work_and_break_nothing() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let _one = cluster.operator(&["--leader-elect=false"]);
    let _other = cluster.operator(&["--leader-elect=false"]);
    create_all(&scope);
    assert_all_sound(&scope).await;
}

#[tokio::test]
async fn a_controller_that_stops_hands_over_and_the_next_goes_on() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let one = cluster.operator(&[]);
    scope.apply_key("before", "");
    scope.ready("before").await;
    let _other = cluster.operator(&[]);
    one.terminate().await;
    scope.apply_key("after", "");
    scope.ready("after").await;
}
