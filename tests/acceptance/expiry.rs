//! An expiry is resolved once, and is exact to the second.

use std::time::Duration;

use apikey_api::{ApiKey, Phase};
use apikey_client::clock::Clock;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::support::{Cluster, Scope, ahead};

fn phase(wanted: Phase) -> impl Fn(&ApiKey) -> bool {
    move |key| {
        key.status
            .as_ref()
            .is_some_and(|status| status.phase == Some(wanted))
    }
}

fn expires_at(key: &ApiKey) -> Timestamp {
    key.status.as_ref().unwrap().expires_at.as_ref().unwrap().0
}

#[tokio::test]
async fn a_default_expiry_is_resolved_once_and_outlasts_restart_and_new_default() {
    let cluster = Cluster::start();
    let operator = cluster.operator(&[]);
    let scope = cluster.scope().await;
    let limits = |days: u32| {
        format!("{{allowedNamespaces: {{from: All}}, limits: {{defaultLifetimeDays: {days}}}}}")
    };
    scope.declare(scope.org(), &limits(30));
    scope.apply_key("ci", "");
    let key = scope.ready("ci").await;
    let expected = expires_at(&key);
    let created = key.metadata.creation_timestamp.as_ref().unwrap().0;
    assert_eq!(
        expected.duration_since(created),
        SignedDuration::from_hours(30 * 24)
    );

    scope.declare(scope.org(), &limits(10));
    operator.kill();
    let _operator = cluster.operator(&[]);
    scope.apply_key("ci", "description: after the restart");
    assert_eq!(expires_at(&scope.ready("ci").await), expected);
    scope.apply_key("other", "");
    let other = scope.ready("other").await;
    let created = other.metadata.creation_timestamp.as_ref().unwrap().0;
    assert_eq!(
        expires_at(&other).duration_since(created),
        SignedDuration::from_hours(10 * 24)
    );
}

#[tokio::test]
async fn a_key_already_past_its_expiry_is_expired_and_gets_no_secret() {
    let scope = Scope::shared().await;
    scope.apply_key("late", "expiry: '2020-01-01T00:00:00Z'");
    let key = scope.key("late", "expired", phase(Phase::Expired)).await;
    assert!(key.status.as_ref().unwrap().key_id.is_none());
    assert!(scope.document(&key).await.is_none());
    assert!(scope.secrets().get_opt("late").await.unwrap().is_none());
    let message = scope.refused("late", "Expired").await;
    assert!(message.contains("no secret was minted"), "{message}");
}

#[tokio::test]
async fn an_expiry_flips_the_status_at_its_second_and_the_secret_stays() {
    let scope = Scope::shared().await;
    let expiry = ahead(5);
    scope.apply_key("short", &format!("expiry: '{expiry}'"));
    let before = scope.ready("short").await;
    let key = scope.key("short", "expired", phase(Phase::Expired)).await;
    let seen = Clock::system().now();
    let late = seen.duration_since(expiry);
    assert!(late >= SignedDuration::ZERO, "expired {late:?} too early");
    assert!(late < SignedDuration::from_secs(2), "expired {late:?} late");
    assert_eq!(key.metadata.generation, before.metadata.generation);
    assert!(scope.secrets().get_opt("short").await.unwrap().is_some());
    for (condition, status) in [("Ready", "False"), ("Stalled", "True"), ("Expired", "True")] {
        scope.wait(&format!("condition={condition}={status}"), "apikey/short");
    }
}

#[tokio::test]
async fn a_key_that_expires_while_the_operator_is_down_is_expired_when_it_is_back() {
    let cluster = Cluster::start();
    let operator = cluster.operator(&[]);
    let scope = cluster.scope().await;
    let expiry = ahead(4);
    scope.apply_key("short", &format!("expiry: '{expiry}'"));
    scope.ready("short").await;
    operator.kill();
    let past = expiry.duration_since(Clock::system().now());
    let past = Duration::try_from(past).unwrap_or_default();
    tokio::time::timeout(past, std::future::pending::<()>())
        .await
        .unwrap_err();
    let _operator = cluster.operator(&[]);
    scope.key("short", "expired", phase(Phase::Expired)).await;
}
