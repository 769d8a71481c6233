//! Rotation on request, and the end of the replaced secret.

use apikey_api::{ApiKey, conditions, names};
use k8s_openapi::jiff::Timestamp;

use crate::support::{Cluster, Login, Operator, Scope, TokenServer, ahead, eventually, now};

const REQUEST: &str = names::ANNOTATION_ROTATE_REQUESTED_AT;

/// Waits until the token server refuses this login.
async fn refused(server: &TokenServer, login: &Login) {
    eventually("the token server refuses the replaced secret", async || {
        (server.token_of(login).status == 401).then_some(())
    })
    .await;
}

/// Waits until the token server refuses this login. Checks that it accepts every request before the end
/// and none later.
async fn ends_at(end: Timestamp, server: &TokenServer, login: &Login) {
    eventually("the token server refuses the replaced secret", async || {
        let asked = now();
        let status = server.token_of(login).status;
        let answered = now();
        assert!(asked < end || status == 401, "{status} at {asked}");
        assert!(status != 401 || answered >= end, "refused at {answered}");
        (status == 401).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_new_secret_keeps_all_but_the_secret_and_the_old_one_ends_at_its_second() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let old = scope
        .usable(server, "ci", "rotation: {overlapSeconds: 6}")
        .await;
    let before = scope.ready("ci").await.status.unwrap();
    let after = scope.rotate("ci", "1").await.status.unwrap();
    assert_eq!(
        (
            &after.key_id,
            &after.email,
            &after.name,
            &after.roles,
            &after.expires_at
        ),
        (
            &before.key_id,
            &before.email,
            &before.name,
            &before.roles,
            &before.expires_at
        )
    );
    assert_eq!((before.revision, after.revision), (Some(1), Some(2)));
    let new = scope.credential(&scope.ready("ci").await).await;
    new.assert_sound();
    assert_ne!(new.data("secret"), old.data("secret"));
    assert_eq!(
        new.delivered.metadata.uid, old.delivered.metadata.uid,
        "the operator replaced the Secret"
    );
    assert_eq!(server.token_of(&Login::of(&new)).status, 200);

    let end = after.previous_secret.unwrap().valid_until.0;
    let token = server.token_of(&Login::of(&old)).claims();
    assert!(
        token["exp"].as_i64().unwrap() <= end.as_second(),
        "a token outlives the overlap"
    );
    ends_at(end, server, &Login::of(&old)).await;
    let text = scope
        .key("ci", "reported to have no previous secret", |key| {
            key.status
                .as_ref()
                .is_some_and(|s| s.previous_secret.is_none())
        })
        .await;
    assert_eq!(text.status.unwrap().revision, Some(2));
}

#[tokio::test]
async fn a_replaced_secret_never_outlives_the_key() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let expiry = crate::support::ahead(15);
    let old = scope
        .usable(server, "brief", &format!("expiry: '{expiry}'"))
        .await;
    let status = scope.rotate("brief", "1").await.status.unwrap();
    assert_eq!(status.previous_secret.unwrap().valid_until.0, expiry);
    ends_at(expiry, server, &Login::of(&old)).await;
}

#[tokio::test]
async fn a_discarded_secret_is_refused_before_its_time_and_the_new_one_is_not() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let old = scope.usable(server, "ci", "").await;
    scope.rotate("ci", "1").await;
    assert_eq!(server.token_of(&Login::of(&old)).status, 200);
    let uses = format!(
        "apikey_previous_secret_uses_total{{namespace=\"{}\",name=\"ci\"}}",
        scope.namespace
    );
    assert!(
        server.process.metric(&uses) >= Some(1.0),
        "no metric counts the use of the replaced secret"
    );
    let discard = (names::ANNOTATION_DISCARD_PREVIOUS, "1");
    scope.annotate("ci", &[discard]).await;
    refused(server, &Login::of(&old)).await;
    let new = scope.credential(&scope.ready("ci").await).await;
    assert_eq!(server.token_of(&Login::of(&new)).status, 200);
    let events = eventually("Events report the rotation and the discard", async || {
        let events = scope.kubectl(&["events", "--for", "apikey/ci", "-o", "json"]);
        let all = ["\"Rotated\"", "\"PreviousRetired\""];
        all.iter()
            .all(|reason| events.contains(reason))
            .then_some(events)
    })
    .await;
    assert!(events.contains("Rotated on request"), "{events}");
    let audited = Scope::operator(Operator::audit);
    let ours = |action: &str| {
        let mut audited = audited.iter();
        audited.any(|line| line["action"] == action && line["namespace"] == *scope.namespace)
    };
    assert!(ours("Rotate") && ours("Discard"));
}

#[tokio::test]
async fn a_request_is_handled_once_through_reapply_restart_and_two_leaders() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let one = cluster.operator(&["--leader-elect=false"]);
    let _other = cluster.operator(&["--leader-elect=false"]);
    let yaml = |description: &str| {
        format!(
            "{{apiVersion: apikey-operator.dev/v1alpha1, kind: ApiKey, metadata: {{name: ci, \
             annotations: {{{REQUEST}: from-git}}}}, spec: {{org: {}, roles: [viewer], \
             description: {description}}}}}",
            scope.org()
        )
    };
    scope.apply_key("ci", "");
    scope.ready("ci").await;
    scope.apply(&yaml("first"));
    let rotated = scope.rotated("ci", "from-git").await;
    assert_eq!(rotated.status.unwrap().revision, Some(2));

    one.kill();
    let _again = cluster.operator(&["--leader-elect=false"]);
    scope.apply(&yaml("again"));
    // When the operator has answered a later request of another key, it has also seen this one.
    scope.apply_key("other", "");
    scope.ready("other").await;
    scope.rotate("other", "1").await;
    let key = scope.ready("ci").await;
    assert_eq!(key.status.as_ref().unwrap().revision, Some(2));
    scope.credential(&key).await.assert_sound();
    let another = [
        (REQUEST, "another"),
        (names::ANNOTATION_ROTATE_OVERLAP_SECONDS, "0"),
    ];
    scope.annotate("ci", &another).await;
    let answered = scope.rotated("ci", "another").await;
    assert!(answered.status.unwrap().revision >= Some(3));
}

#[tokio::test]
async fn a_new_key_that_comes_with_a_request_is_minted_once() {
    let scope = Scope::shared().await;
    let yaml = scope.key_yaml("ci", "");
    scope.apply(&yaml.replace(
        "{name: ci}",
        &format!("{{name: ci, annotations: {{{REQUEST}: '1'}}}}"),
    ));
    let key = scope.rotated("ci", "1").await;
    assert_eq!(key.status.as_ref().unwrap().revision, Some(1));
    scope
        .credential(&scope.ready("ci").await)
        .await
        .assert_sound();
    assert_eq!(scope.ready("ci").await.status.unwrap().revision, Some(1));
}

#[tokio::test]
async fn the_overlap_of_a_request_by_the_plugin_is_for_no_later_request() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    scope.ready("ci").await;
    let rotate = ["rotate", "ci", "--overlap", "0"];
    scope.plugin(&rotate).done();
    let leaked = scope.ready("ci").await.status.unwrap();
    assert_eq!((leaked.revision, leaked.previous_secret), (Some(2), None));
    let key = scope.rotate("ci", "from Git").await;
    let previous = key.status.unwrap().previous_secret.unwrap();
    assert_eq!(
        previous.revision, 2,
        "the previous secret has an overlap of an hour"
    );
    assert!(previous.valid_until.0 > ahead(3000));
}

#[tokio::test]
async fn a_second_request_waits_for_the_overlap_and_the_status_names_the_way_out() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    scope.ready("ci").await;
    scope.rotate("ci", "1").await;
    scope.annotate("ci", &[(REQUEST, "2")]).await;
    let ready = |key: &ApiKey| {
        let status = key.status.as_ref().unwrap();
        conditions::find(&status.conditions, conditions::READY)
            .unwrap()
            .clone()
    };
    let waits = scope
        .key("ci", "waiting", |key| {
            ready(key).message.contains("waits until")
        })
        .await;
    let message = ready(&waits).message;
    assert!(message.contains("discard-previous: \"1\""), "{message}");
    scope
        .annotate("ci", &[(names::ANNOTATION_DISCARD_PREVIOUS, "1")])
        .await;
    assert_eq!(
        scope.rotated("ci", "2").await.status.unwrap().revision,
        Some(3)
    );
    let audited = Scope::operator(Operator::audit);
    let ours = audited
        .iter()
        .filter(|l| l["namespace"] == *scope.namespace);
    let actions: Vec<_> = ours.map(|line| line["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["Create", "Rotate", "Discard", "Rotate"]);
    eventually("an Event reports the discard", async || {
        let events = scope.kubectl(&["events", "--for", "apikey/ci", "-o", "json"]);
        events.contains("\"PreviousRetired\"").then_some(())
    })
    .await;
}
