//! A tenant that may write Secrets and no keys can't keep a secret in service beyond its end.

use std::time::Duration;

use apikey_api::{ApiKey, conditions, names};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::{Credential, Login, Scope, TokenServer, eventually};

/// Longest time from a request without an overlap to the refusal of the replaced secret.
const BOUND: Duration = Duration::from_secs(15);
const AT_ONCE: &str = "rotation: {overlapSeconds: 0}";

/// A key whose secret leaked.
struct Leaked {
    scope: Scope<'static>,
    server: &'static TokenServer,
    credential: Credential,
    asked: Option<Instant>,
}

impl Leaked {
    async fn new() -> Self {
        let scope = Scope::shared().await;
        let server = Scope::token_server().await;
        Self {
            credential: scope.usable(server, "ci", AT_ONCE).await,
            scope,
            server,
            asked: None,
        }
    }

    /// Changes the delivered Secret by a merge patch.
    async fn tamper(&self, patch: Value) {
        tamper(&self.scope.secrets(), &patch).await;
    }

    async fn ask(&mut self) {
        let request = (names::ANNOTATION_ROTATE_REQUESTED_AT, "leaked");
        self.scope.annotate("ci", &[request]).await;
        self.asked = Some(Instant::now());
    }

    /// Waits until the token server refuses the leaked secret, and checks that this is in time.
    async fn is_refused(&self) {
        let login = Login::of(&self.credential);
        eventually("the token server refuses the leaked secret", async || {
            (self.server.token_of(&login).status == 401).then_some(())
        })
        .await;
        let took = self.asked.unwrap().elapsed();
        assert!(took < BOUND, "refused after {took:?}");
    }

    /// Waits until a new secret answers the request. Checks that the token server accepts it
    /// and refuses the leaked one.
    async fn is_replaced(&self) {
        self.scope.rotated("ci", "leaked").await;
        let new = self.scope.credential(&self.scope.ready("ci").await).await;
        new.assert_sound();
        assert_ne!(new.data("secret"), self.credential.data("secret"));
        self.server.token_for(&new).await;
        let login = Login::of(&self.credential);
        assert_eq!(self.server.token_of(&login).status, 401);
    }

    /// Follows the instruction in the status, and waits for the effect.
    async fn is_replaced_once_it_is_deleted(&self) {
        self.scope.kubectl(&["delete", "secret", "ci"]);
        let deleted = Instant::now();
        self.is_replaced().await;
        let took = deleted.elapsed();
        assert!(took < BOUND, "replaced {took:?} after the deletion");
    }

    /// Waits until the status reports that delivery is held up.
    async fn is_held_up(&self, reason: &str) {
        let key = self.scope.key("ci", "held up", is_held_up).await;
        let status = key.status.unwrap();
        assert_eq!(status.revision, Some(1));
        let ready = conditions::find(&status.conditions, conditions::READY).unwrap();
        assert_eq!((&*ready.status, &*ready.reason), ("False", reason));
        for expected in ["Revision 1 of the secret is refused from", "Secret 'ci'"] {
            assert!(ready.message.contains(expected), "{}", ready.message);
        }
        let warned = async || {
            let events = ["events", "--for", "apikey/ci", "-o", "json"];
            let events = self.scope.kubectl(&events);
            events.contains("\"DeliveryHeldUp\"").then_some(())
        };
        eventually("an Event reports that delivery is held up", warned).await;
    }

    async fn uid(&self) -> Option<String> {
        self.scope.delivered("ci").await.metadata.uid
    }
}

async fn tamper(secrets: &Api<Secret>, patch: &Value) {
    let params = PatchParams::default();
    let patched = secrets.patch("ci", &params, &Patch::Merge(patch)).await;
    patched.unwrap();
}

fn is_held_up(key: &ApiKey) -> bool {
    let conditions = key.status.as_ref().map(|status| &status.conditions);
    let delivered = conditions.and_then(|c| conditions::find(c, conditions::DELIVERED));
    delivered.is_some_and(|c| (&*c.status, &*c.reason) == ("False", "DeliveryHeldUp"))
}

#[tokio::test]
async fn a_secret_that_was_made_immutable_makes_room_for_the_new_one() {
    let mut leaked = Leaked::new().await;
    let before = leaked.uid().await;
    leaked.tamper(json!({"immutable": true})).await;
    leaked.ask().await;
    leaked.is_refused().await;
    leaked.is_replaced().await;
    assert_ne!(
        leaked.uid().await,
        before,
        "the operator has not replaced the Secret"
    );
}

#[tokio::test]
async fn a_secret_that_is_put_back_with_another_type_makes_room_for_the_new_one() {
    let mut leaked = Leaked::new().await;
    let mut secret = leaked.scope.delivered("ci").await;
    secret.type_ = Some("example.com/other".into());
    (secret.metadata.uid, secret.metadata.resource_version) = (None, None);
    let secrets = leaked.scope.secrets();
    secrets
        .delete("ci", &DeleteParams::default())
        .await
        .unwrap();
    // The operator waits half a second before it delivers another.
    let put_back = secrets.create(&PostParams::default(), &secret).await;
    put_back.unwrap();
    leaked.ask().await;
    leaked.is_refused().await;
    leaked.is_replaced().await;
}

#[tokio::test]
async fn a_secret_that_is_touched_all_the_time_gets_the_new_value() {
    let mut leaked = Leaked::new().await;
    let mut touching = JoinSet::new();
    for hand in 0..3 {
        let secrets = leaked.scope.secrets();
        touching.spawn(async move {
            for count in 0_u64.. {
                let value = format!("{hand} {count}");
                tamper(
                    &secrets,
                    &json!({"metadata": {"annotations": {"x": value}}}),
                )
                .await;
            }
        });
    }
    leaked.ask().await;
    leaked.is_refused().await;
    leaked.is_replaced().await;
    let took = leaked.asked.unwrap().elapsed();
    println!("delivered after {took:?}");
    assert!(took < BOUND, "delivered after {took:?}");
    assert!(
        touching.try_join_next().is_none(),
        "the tasks that change the Secret have ended"
    );
}

#[tokio::test]
async fn a_secret_that_was_taken_from_its_key_keeps_no_leaked_one_in_service() {
    let mut leaked = Leaked::new().await;
    let before = leaked.uid().await;
    leaked
        .tamper(json!({"metadata": {"ownerReferences": null}}))
        .await;
    leaked.ask().await;
    leaked.is_refused().await;
    leaked.is_held_up("SecretConflict").await;
    assert_eq!(
        leaked.uid().await,
        before,
        "the operator removed a Secret of somebody else"
    );
    leaked.is_replaced_once_it_is_deleted().await;
}

#[tokio::test]
async fn a_secret_that_was_given_to_another_key_keeps_no_leaked_one_in_service() {
    let mut leaked = Leaked::new().await;
    leaked.scope.apply_key("other", "");
    let other = leaked.scope.ready("other").await;
    let owner = json!({
        "apiVersion": "apikey-operator.dev/v1alpha1", "kind": "ApiKey", "controller": true,
        "name": "other", "uid": other.metadata.uid,
    });
    leaked
        .tamper(json!({"metadata": {"ownerReferences": [owner]}}))
        .await;
    leaked.ask().await;
    leaked.is_refused().await;
    leaked.is_held_up("SecretConflict").await;
    leaked.is_replaced_once_it_is_deleted().await;
}

#[tokio::test]
async fn a_secret_that_can_be_neither_changed_nor_removed_keeps_no_leaked_one_in_service() {
    let mut leaked = Leaked::new().await;
    let keeps = json!({"immutable": true, "metadata": {"finalizers": ["example.com/keep"]}});
    leaked.tamper(keeps).await;
    leaked.ask().await;
    leaked.is_refused().await;
    leaked.is_held_up("ProgressingWithRetry").await;
    leaked
        .tamper(json!({"metadata": {"finalizers": null}}))
        .await;
    leaked.is_replaced().await;
}
