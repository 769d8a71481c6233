//! `kubectl apikey rotate` and `kubectl apikey discard-previous`.

use apikey_api::names;

use crate::support::{Cluster, Login, Scope, ahead, eventually, now};

#[tokio::test]
async fn rotate_waits_for_the_new_secret_and_prints_how_long_the_old_one_holds() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let old = Login::of(&scope.usable(server, "ci", "").await);
    let message = scope.plugin(&["rotate", "ci", "--overlap", "24h"]).done();
    assert!(
        message.starts_with("apikey/ci rotated to revision 2; revision 1 is accepted until "),
        "{message}"
    );
    let key = scope.keys().get("ci").await.unwrap();
    let status = key.status.clone().unwrap();
    let until = status.previous_secret.unwrap().valid_until.0;
    assert!(message.contains(&until.to_string()), "{message} {until}");
    assert!(until.duration_since(now()).as_hours() >= 23, "{until}");
    let annotations = key.metadata.annotations.unwrap();
    let overlap = &annotations[names::ANNOTATION_ROTATE_OVERLAP_SECONDS];
    assert_eq!(overlap, "86400");
    let new = scope.plugin(&["reveal", "ci"]).done();
    let secret = new.trim_end().to_owned();
    let name = "ci".to_owned();
    let new = Login { name, secret };
    assert_ne!(new.secret, old.secret);
    for login in [&old, &new] {
        assert_eq!(server.token_of(login).status, 200);
    }

    // A further rotation waits for the end of the overlap, and the plugin reports that at once.
    let refused = scope.plugin(&["rotate", "ci"]).failed(5);
    assert!(refused.contains(&until.to_string()), "{refused}");
    let hint = format!("kubectl apikey discard-previous ci -n {}", scope.namespace);
    assert!(refused.contains(&hint), "{refused}");
    let key = scope.keys().get("ci").await.unwrap();
    let annotations = key.metadata.annotations.unwrap();
    assert!(!annotations.contains_key(names::ANNOTATION_ROTATE_OVERLAP_SECONDS));

    // A rotation without an overlap does not wait, and the earlier secret keeps its overlap.
    let message = scope.plugin(&["rotate", "ci", "--overlap", "0"]).done();
    assert!(
        message.contains("revision 3; the replaced secret is refused"),
        "{message}"
    );
    assert!(
        message.contains("revision 1 is accepted until"),
        "{message}"
    );
    eventually("the token server refuses the replaced secret", async || {
        (server.token_of(&new).status == 401).then_some(())
    })
    .await;
    assert_eq!(server.token_of(&old).status, 200);
}

#[tokio::test]
async fn discard_previous_ends_an_overlap() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let old = Login::of(&scope.usable(server, "ci", "").await);
    let nothing = scope.plugin(&["discard-previous", "ci"]).done();
    assert!(nothing.contains("unchanged"), "{nothing}");
    scope.plugin(&["rotate", "ci"]).done();
    let secret = scope.plugin(&["reveal", "ci"]).done().trim_end().to_owned();
    let name = "ci".to_owned();
    let new = Login { name, secret };
    assert_eq!(server.token_of(&old).status, 200);

    let refused = scope.plugin(&["discard-previous", "ci"]).failed(2);
    assert!(refused.contains("--yes"), "{refused}");
    let shown = scope
        .plugin(&["discard-previous", "ci", "--dry-run"])
        .done();
    assert_eq!(shown, "apikey/ci revision 1 discarded (dry run)\n");
    assert_eq!(server.token_of(&old).status, 200);
    let message = scope.plugin(&["discard-previous", "ci", "--yes"]).done();
    assert!(message.contains("revision 1 discarded"), "{message}");
    eventually("the token server refuses the replaced secret", async || {
        (server.token_of(&old).status == 401).then_some(())
    })
    .await;
    assert_eq!(server.token_of(&new).status, 200);
}

#[tokio::test]
async fn many_are_rotated_after_a_yes_and_a_failure_stops_none() {
    let scope = Scope::shared().await;
    scope.apply_key("a", "");
    scope.apply_key("b", "");
    let expiry = ahead(3);
    scope.apply_key("short", &format!("expiry: \"{expiry}\""));
    scope.ready("a").await;
    scope.ready("b").await;
    let all = ["rotate", "--all", "--org", scope.org()];
    let refused = scope.plugin(&all).failed(2);
    assert!(refused.contains("--yes"), "{refused}");
    let shown = scope.plugin(&[&all[..], &["--dry-run"]].concat());
    assert!(
        shown.stdout.contains("apikey/a rotated (dry run)"),
        "{shown:?}"
    );
    scope.key("short", "expired", |_| now() >= expiry).await;
    let outcome = scope.plugin(&[&all[..], &["--yes"]].concat());
    for name in ["a", "b"] {
        let line = format!("apikey/{name} rotated to revision 2");
        assert!(outcome.stdout.contains(&line), "{outcome:?}");
    }
    let failed = outcome.failed(1);
    assert!(failed.contains("apikey/short: it expired at"), "{failed}");
    assert!(failed.contains("1 of 3 failed"), "{failed}");
    let annotations = scope
        .keys()
        .get("short")
        .await
        .unwrap()
        .metadata
        .annotations;
    let asked = annotations.unwrap_or_default();
    assert!(!asked.contains_key(names::ANNOTATION_ROTATE_REQUESTED_AT));
    scope.plugin(&["rotate", "short"]).failed(5);
    scope.plugin(&["rotate", "nobody"]).failed(3);
}

#[tokio::test]
async fn without_an_operator_the_wait_ends_with_what_to_check() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    scope.apply_key("ci", "");
    let message = scope.plugin(&["rotate", "ci", "--wait=false"]).done();
    assert_eq!(message, "apikey/ci rotation requested\n");
    let late = scope.plugin(&["rotate", "ci", "--timeout", "1s"]).failed(6);
    assert!(late.contains("kubectl apikey check"), "{late}");
    assert!(late.contains("no operator has seen this key"), "{late}");
}
