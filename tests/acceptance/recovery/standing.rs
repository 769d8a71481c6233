//! Obstacles to the delivery of a secret: a Secret that can't be changed or removed, fields of another manager, a
//! namespace that is being deleted.

use apikey_api::{ApiKey, conditions, names};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Api;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::time::Instant;

use super::{BOUND, about};
use crate::support::{Login, Scope, eventually};

const FINALIZER: &str = "example.com/stays";

/// Requests a new secret for the key `ci`.
async fn ask(scope: &Scope<'_>) {
    let request = (names::ANNOTATION_ROTATE_REQUESTED_AT, "now");
    scope.annotate("ci", &[request]).await;
}

#[tokio::test]
async fn an_immutable_secret_with_a_finalizer() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    scope.ready("ci").await;
    let stays = json!({"immutable": true, "metadata": {"finalizers": [FINALIZER]}}).to_string();
    let patch = ["patch", "secret", "ci", "--type=merge", "--patch"];
    scope.kubectl(&[&patch[..], &[&*stays]].concat());
    ask(&scope).await;
    let key = scope
        .key("ci", "held up", |key| {
            let conditions = key.status.as_ref().map(|status| &status.conditions);
            let ready = conditions.and_then(|c| conditions::find(c, conditions::READY));
            ready.is_some_and(|ready| ready.message.contains("finalizer"))
        })
        .await;
    let status = key.status.unwrap();
    assert_eq!(status.revision, Some(1));
    let message = &conditions::find(&status.conditions, conditions::READY)
        .unwrap()
        .message;
    scope.kubectl(&[&patch[..], &[r#"{"metadata": {"finalizers": null}}"#]].concat());
    let begun = Instant::now();
    let key = scope.rotated("ci", "now").await;
    let took = begun.elapsed();
    assert!(took < BOUND, "{took:?}");
    assert_eq!(key.status.as_ref().unwrap().revision, Some(2));
    scope
        .credential(&scope.ready("ci").await)
        .await
        .assert_sound();
    let requests = about(&scope).len();
    println!(
        "immutable with a finalizer: {message:?}, rotated {took:?} after it was gone, {requests} requests"
    );
}

#[tokio::test]
async fn fields_that_another_manager_has_applied() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "secret: {template: {labels: {team: a}}}");
    scope.ready("ci").await;
    let theirs = [
        json!({"data": {"secret": "eA=="}}),
        json!({"stringData": {"secret": "x"}}),
    ];
    for (mut theirs, wanted) in theirs.into_iter().zip(2..) {
        theirs["apiVersion"] = "v1".into();
        theirs["kind"] = "Secret".into();
        theirs["metadata"] = json!({"labels": {"team": "b"}});
        let params = PatchParams::apply("other").force();
        let secrets = scope.secrets();
        let applied = secrets.patch("ci", &params, &Patch::Apply(&theirs)).await;
        applied.unwrap();
        let begun = Instant::now();
        let revision = |key: &ApiKey| {
            let status = key.status.as_ref();
            status.is_some_and(|status| status.revision == Some(wanted))
        };
        scope.key("ci", "replaced", revision).await;
        let key = scope.ready("ci").await;
        scope.credential(&key).await.assert_sound();
        eventually("the Secret has the label of the template", async || {
            let labels = scope.delivered("ci").await.metadata.labels?;
            (labels.get("team")? == "a").then_some(())
        })
        .await;
        let took = begun.elapsed();
        assert!(took < BOUND, "{took:?}");
        let count = about(&scope).len();
        println!("{theirs} of another manager: replaced {took:?} after that, {count} requests");
    }
    let requests = about(&scope);
    assert!(
        requests.iter().all(|request| request.code != 409),
        "a write met a conflict with another field manager"
    );
}

#[tokio::test]
async fn a_namespace_that_is_going() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let before = scope.usable(server, "ci", "").await;
    let configs: Api<ConfigMap> = Api::namespaced(scope.client.clone(), &scope.namespace);
    let holds = ConfigMap {
        metadata: ObjectMeta {
            name: Some("stays".into()),
            finalizers: Some(vec![FINALIZER.into()]),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    };
    configs
        .create(&PostParams::default(), &holds)
        .await
        .unwrap();
    let namespaces: Api<Namespace> = Api::all(scope.client.clone());
    for n in 0..20 {
        scope.apply_key(&format!("late-{n}"), "");
    }
    let params = DeleteParams::default();
    namespaces.delete(&scope.namespace, &params).await.unwrap();
    eventually("all keys are gone", async || {
        let left = scope.keys().list(&ListParams::default()).await.unwrap();
        left.items.is_empty().then_some(())
    })
    .await;
    let login = Login::of(&before);
    eventually("the token server refuses its secret", async || {
        (server.token_of(&login).status == 401).then_some(())
    })
    .await;
    let patch = r#"{"metadata": {"finalizers": null}}"#;
    scope.kubectl(&[
        "patch",
        "configmap",
        "stays",
        "--type=merge",
        "--patch",
        patch,
    ]);
    eventually("the namespace is gone", async || {
        let gone = namespaces.get_opt(&scope.namespace).await.unwrap();
        gone.is_none().then_some(())
    })
    .await;
    let refused = about(&scope)
        .iter()
        .filter(|request| request.code == 403)
        .count();
    let begun = Instant::now();
    scope.cluster.create_namespace(&scope.namespace);
    scope.apply_key("ci", "");
    let after = scope.credential(&scope.ready("ci").await).await;
    let took = begun.elapsed();
    assert!(took < BOUND, "{took:?}");
    server.token_for(&after).await;
    assert_eq!(server.token_of(&login).status, 401);
    let requests = about(&scope).len();
    println!(
        "namespace that is going: ready {took:?} after it is there again, {requests} requests for 22 keys, {refused} refused"
    );
}
