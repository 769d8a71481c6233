//! Refused writes of the operator. The status names the cause. Once it is gone, the key is ready within half a minute,
//! with the same secret that it would have had.

mod obstacle;
mod relabelled;
mod standing;
mod webhook;

use std::time::Duration;

use apikey_api::{conditions, names};
use tokio::time::Instant;

use self::obstacle::Obstacle;
use crate::support::{ApiRequest, Scope, api_requests, eventually};

/// Longest time from the end of an obstacle until the key is ready.
const BOUND: Duration = Duration::from_secs(30);
/// The number of refused attempts of each kind that the test waits for.
const ATTEMPTS: usize = 3;

/// An obstacle blocks the first secret of a key and, if it blocks changes too, the next secret.
async fn recovers(obstacle: Obstacle) {
    let expected = obstacle.message();
    let scope = Scope::shared().await;
    let scope = &scope;
    let set = obstacle.set(scope).await;
    scope.apply_key("ci", "");
    let seen = refused(scope, expected, 0).await;
    let (took, requests) = ready_again(scope, set, 1).await;
    println!("{obstacle:?}: {seen:?}, ready {took:?} after it was gone, {requests} requests");
    if obstacle.hinders_changes() {
        let before = refusals(scope).len();
        let set = obstacle.set(scope).await;
        let request = (names::ANNOTATION_ROTATE_REQUESTED_AT, "now");
        scope.annotate("ci", &[request]).await;
        refused(scope, expected, before).await;
        let (took, requests) = ready_again(scope, set, 2).await;
        println!("{obstacle:?}: rotated {took:?} after it was gone, {requests} requests");
    }
}

/// Waits until several writes were refused and the status has the message. Returns it.
async fn refused(scope: &Scope<'_>, expected: &str, before: usize) -> String {
    eventually("the operator tries again", async || {
        (refusals(scope).len() >= before + ATTEMPTS).then_some(())
    })
    .await;
    eventually(&format!("the status says {expected:?}"), async || {
        let status = scope.keys().get("ci").await.unwrap().status?;
        let ready = conditions::find(&status.conditions, conditions::READY)?;
        let is_reported = ready.status == "False" && ready.message.contains(expected);
        is_reported.then(|| ready.message.clone())
    })
    .await
}

/// Removes the obstacle and waits until the key is ready. Returns how long that took, and the total number
/// of requests about this key.
async fn ready_again(
    scope: &Scope<'_>,
    set: obstacle::Set<'_>,
    revision: i64,
) -> (Duration, usize) {
    set.remove().await;
    let begun = Instant::now();
    let key = scope
        .key("ci", "delivered", |key| {
            let status = key.status.as_ref();
            status.is_some_and(|status| {
                let delivered = conditions::is_true(&status.conditions, conditions::DELIVERED);
                delivered && status.revision == Some(revision)
            })
        })
        .await;
    let took = begun.elapsed();
    assert!(took < BOUND, "{took:?}");
    let key = scope.ready(&key.metadata.name.unwrap()).await;
    scope.credential(&key).await.assert_sound();
    (took, about(scope).len())
}

/// The operator's requests about the key of this scope and its Secret.
fn about(scope: &Scope<'_>) -> Vec<ApiRequest> {
    let mut requests = api_requests(scope.cluster, "apikey-operator");
    requests.retain(|request| request.namespace == scope.namespace);
    requests
}

/// The refused ones of them that should have delivered a secret.
fn refusals(scope: &Scope<'_>) -> Vec<ApiRequest> {
    let mut requests = about(scope);
    requests.retain(|request| {
        let writes = ["create", "patch"].contains(&&*request.verb);
        writes && request.resource == "secrets" && request.code >= 400
    });
    requests
}

#[tokio::test]
async fn a_policy_that_forbids_secrets() {
    recovers(Obstacle::Policy("Forbidden")).await;
}

#[tokio::test]
async fn a_policy_that_calls_secrets_invalid() {
    recovers(Obstacle::Policy("Invalid")).await;
}

#[tokio::test]
async fn a_policy_that_calls_secrets_too_large() {
    recovers(Obstacle::Policy("RequestEntityTooLarge")).await;
}

#[tokio::test]
async fn a_webhook_that_calls_it_a_bad_request() {
    recovers(Obstacle::Webhook(Some(400))).await;
}

#[tokio::test]
async fn an_answer_of_too_many_requests() {
    recovers(Obstacle::Webhook(Some(429))).await;
}

#[tokio::test]
async fn a_webhook_that_has_an_error_of_its_own() {
    recovers(Obstacle::Webhook(Some(500))).await;
}

#[tokio::test]
async fn a_webhook_that_is_down() {
    recovers(Obstacle::Down).await;
}

#[tokio::test]
async fn a_webhook_that_never_answers() {
    recovers(Obstacle::Webhook(None)).await;
}

#[tokio::test]
async fn a_quota_that_is_used_up() {
    recovers(Obstacle::Quota).await;
}
