//! The deletion of a key waits for nothing and leaves nothing.

use apikey_api::{ApiKey, names};
use kube::api::DeleteParams;

use crate::support::{Cluster, Operator, Scope, api_requests, eventually, run};

async fn gone(scope: &Scope<'_>, key: &ApiKey) {
    eventually(
        "the garbage collector removes the delivered Secret",
        async || {
            scope
                .secrets()
                .get_opt(key.secret_name())
                .await
                .unwrap()
                .is_none()
                .then_some(())
        },
    )
    .await;
    eventually("the sweeper removes the credential record", async || {
        scope.document(key).await.is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_deleted_key_is_gone_at_once_and_its_secret_and_record_follow() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    let key = scope.ready("ci").await;
    assert!(key.metadata.finalizers.is_none());
    scope.kubectl(&["delete", "apikey", "ci", "--timeout=5s"]);
    gone(&scope, &key).await;
    let key_id = key.status.unwrap().key_id.unwrap();
    // The operator logs a revocation after it has removed the credential record.
    eventually(
        "the audit lines have both actions and no others",
        async || {
            let lines = Scope::operator(Operator::audit);
            let of_key = lines.iter().filter(|line| line["keyId"] == key_id.as_str());
            let actions: Vec<_> = of_key
                .map(|line| line["action"].as_str().unwrap())
                .collect();
            (actions == ["Create", "Revoke"]).then_some(())
        },
    )
    .await;
}

#[tokio::test]
async fn a_key_deleted_while_the_operator_is_down_is_swept_when_it_is_back() {
    let cluster = Cluster::start();
    let operator = cluster.operator(&[]);
    let scope = cluster.scope().await;
    scope.apply_key("ci", "");
    let key = scope.ready("ci").await;
    operator.kill();
    scope.kubectl(&["delete", "apikey", "ci", "--timeout=5s"]);
    let _operator = cluster.operator(&[]);
    gone(&scope, &key).await;
}

#[tokio::test]
async fn a_key_deleted_in_the_middle_of_a_rotation_leaves_no_record() {
    let cluster = Cluster::start();
    let operator = cluster.operator(&[]);
    let scope = cluster.scope().await;
    scope.apply_key("ci", "");
    let key = scope.ready("ci").await;
    let request = (names::ANNOTATION_ROTATE_REQUESTED_AT, "1");
    scope.annotate("ci", &[request]).await;
    eventually(
        "the operator is about to deliver a new secret",
        async || {
            let document = scope.document(&key).await.unwrap();
            (!document.pending.is_empty()).then_some(())
        },
    )
    .await;
    let parameters = DeleteParams::default();
    scope.keys().delete("ci", &parameters).await.unwrap();
    // The garbage collector would do this a while later.
    scope.secrets().delete("ci", &parameters).await.unwrap();
    eventually(
        "the rotation continues with the delivered Secret",
        async || {
            let requests = api_requests(&cluster, "apikey-operator");
            let mut applied = requests.iter().filter(|request| request.verb == "patch");
            applied.any(|request| request.name == "ci").then_some(())
        },
    )
    .await;
    eventually("the rotation has ended", async || {
        let series = r#"controller_runtime_active_workers{controller="apikey"}"#;
        (operator.metric(series)? == 0.0).then_some(())
    })
    .await;
    gone(&scope, &key).await;
}

#[tokio::test]
async fn a_key_whose_deletion_no_watch_has_reported_gets_no_further_secret() {
    let mut cluster = Cluster::start();
    let operator = cluster.operator(&[]);
    let scope = cluster.scope().await;
    scope.apply_key("ci", "");
    scope.ready("ci").await;
    let (keys, secrets) = (scope.keys(), scope.secrets());
    let namespace = scope.namespace.clone();
    drop(scope);
    // An open watch continues after the right to watch is revoked.
    let rules = r#"[{"op": "test", "path": "/rules/3/resources/0", "value": "apikeys"},
        {"op": "replace", "path": "/rules/3/verbs", "value": ["get"]}]"#;
    run(cluster.control_plane.kubectl().args([
        "patch",
        "clusterrole",
        "apikey-operator",
        "--type=json",
        "-p",
        rules,
    ]));
    cluster.control_plane.stop_apiserver();
    cluster.control_plane.restart_apiserver().unwrap();
    operator.logged(r#"cannot list resource "apikeys""#).await;
    let parameters = DeleteParams::default();
    keys.delete("ci", &parameters).await.unwrap();
    // The garbage collector would do this a while later.
    let _ = secrets.delete("ci", &parameters).await;
    let asked = |verb, resource, code| {
        let requests = api_requests(&cluster, "apikey-operator");
        let asked = requests.into_iter().filter(|request| {
            (&*request.verb, &*request.resource, request.code) == (verb, resource, code)
                && request.namespace == namespace
        });
        asked.count()
    };
    eventually(
        "the controller asks the API server for the key",
        async || (asked("get", "apikeys", 404) > 0).then_some(()),
    )
    .await;
    eventually("the controller is done with the key", async || {
        let series = r#"controller_runtime_active_workers{controller="apikey"}"#;
        (operator.metric(series)? == 0.0).then_some(())
    })
    .await;
    assert_eq!(asked("create", "secrets", 201), 1);
    assert!(secrets.get_opt("ci").await.unwrap().is_none());
}

#[tokio::test]
async fn a_key_made_again_under_its_name_gets_a_new_id_and_never_the_old_secret() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    let first = scope.ready("ci").await;
    let before = scope.credential(&first).await;
    scope
        .keys()
        .delete("ci", &DeleteParams::default())
        .await
        .unwrap();
    scope.apply_key("ci", "");
    let second = scope.ready("ci").await;
    let after = scope.credential(&second).await;
    after.assert_sound();
    assert_ne!(first.metadata.uid, second.metadata.uid);
    assert_ne!(after.data("key-id"), before.data("key-id"));
    assert_ne!(after.data("secret"), before.data("secret"));
    eventually(
        "the sweeper removes the first credential record",
        async || scope.document(&first).await.is_none().then_some(()),
    )
    .await;
    scope
        .credential(&scope.ready("ci").await)
        .await
        .assert_sound();
}

#[tokio::test]
async fn deleting_a_namespace_is_not_held_up() {
    let scope = Scope::shared().await;
    for name in ["one", "two", "three"] {
        scope.apply_key(name, "");
    }
    let keys = [
        scope.ready("one").await,
        scope.ready("two").await,
        scope.ready("three").await,
    ];
    scope.kubectl(&["delete", "namespace", &scope.namespace, "--timeout=25s"]);
    for key in keys {
        let name = names::record_secret(key.metadata.uid.as_deref().unwrap());
        eventually("the sweeper removes the credential record", async || {
            scope
                .operator_secrets()
                .get_opt(&name)
                .await
                .unwrap()
                .is_none()
                .then_some(())
        })
        .await;
    }
}
