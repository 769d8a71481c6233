//! Rotation by schedule, with a clock that the test moves.

use apikey_api::ApiKey;
use k8s_openapi::jiff::Timestamp;

use crate::support::{Cluster, Inside, Login, MovedClock, Scope, eventually, free_address, send};

const DAY: i64 = 86_400;

fn next_rotation(key: &ApiKey) -> Option<Timestamp> {
    Some(key.status.as_ref()?.next_rotation_at.as_ref()?.0)
}

/// Moves the clock to this time and waits until the operator has reconciled the key.
async fn look_at(scope: &Scope<'_>, clock: &MovedClock, to: Timestamp, revision: i64) -> ApiKey {
    let ahead = to.duration_since(clock.clock().now()).as_secs();
    clock.advance(ahead.max(0) + 1);
    // Timers count real time, so something has to wake the controller.
    scope.annotate("ci", &[("woken-at", &to.to_string())]).await;
    scope
        .key("ci", "rotated by schedule", |key| {
            let status = key.status.as_ref().unwrap();
            status.revision == Some(revision) && next_rotation(key).is_none_or(|next| next > to)
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_of_every_day_rotates_each_day_catches_up_a_year_once_and_ends_with_the_key() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let clock = MovedClock::default();
    let client = kube::Client::try_from(cluster.admin_config().await).unwrap();
    let address = free_address();
    let _operator = Inside::both(client, clock.clock(), &address.to_string()).await;
    scope.declare(
        scope.org(),
        "{allowedNamespaces: {from: All}, limits: {maxLifetimeDays: 3650}}",
    );
    let expiry = clock.clock().now().as_second() + 380 * DAY;
    let expiry = Timestamp::from_second(expiry).unwrap();
    scope.apply_key(
        "ci",
        &format!("expiry: '{expiry}', rotation: {{everyDays: 1}}"),
    );
    let mut key = scope.ready("ci").await;
    let token_of = |login: &Login| {
        let fields = [("name", login.name.as_str()), ("secret", &login.secret)];
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        let body = crate::support::form(&fields);
        send(
            address,
            "POST",
            "/auth/v1/api-key/token",
            &headers,
            body.as_bytes(),
        )
        .status
    };
    let mut held = Login::of(&scope.credential(&key).await);
    let mut rotations = 0;
    for revision in 2..=12 {
        let due = next_rotation(&key).expect("a next rotation");
        key = look_at(&scope, &clock, due, revision).await;
        rotations += 1;
        let new = Login::of(&scope.credential(&key).await);
        assert_eq!(
            (token_of(&held), token_of(&new)),
            (200, 200),
            "the replaced secret is refused within the overlap"
        );
        held = new;
    }
    println!("{rotations} rotations by schedule, no refusal");

    let year = clock.clock().now().as_second() + 360 * DAY;
    let key = look_at(&scope, &clock, Timestamp::from_second(year).unwrap(), 13).await;
    let status = key.status.as_ref().unwrap();
    assert_eq!(
        status.expires_at.as_ref().unwrap().0,
        expiry,
        "the rotation moved the expiry"
    );

    let last = next_rotation(&key).unwrap();
    let near = expiry.as_second() - DAY / 2;
    assert!(last.as_second() < near);
    let key = look_at(&scope, &clock, Timestamp::from_second(near).unwrap(), 14).await;
    assert_eq!(
        next_rotation(&key),
        None,
        "a rotation is due after the expiry"
    );
    let end = key.status.unwrap().previous_secret.unwrap().valid_until.0;
    assert!(end <= expiry);
}

#[tokio::test]
async fn the_next_rotation_is_announced_and_rotations_are_counted() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "rotation: {everyDays: 30}");
    let key = scope.ready("ci").await;
    let next = next_rotation(&key).expect("a next rotation").as_second();
    let created = key
        .metadata
        .creation_timestamp
        .as_ref()
        .unwrap()
        .0
        .as_second();
    assert!((created + 29 * DAY - 1..=created + 30 * DAY + 1).contains(&next));
    let series = format!(
        "apikey_next_rotation_timestamp_seconds{{namespace=\"{}\",name=\"ci\"}}",
        scope.namespace
    );
    // A test can read the status before the operator has updated its metrics.
    eventually("the metrics have the next rotation", async || {
        let announced = Scope::operator(|operator| operator.metric(&series))?;
        (announced.to_string() == next.to_string()).then_some(())
    })
    .await;

    let counted = || {
        let series = "apikey_rotations_total{trigger=\"request\",result=\"success\"}";
        Scope::operator(|operator| operator.metric(series))
            .expect("the series exists from the start")
    };
    let before = counted();
    scope.rotate("ci", "1").await;
    eventually("the metrics count the rotation", async || {
        (counted() > before).then_some(())
    })
    .await;
    for (trigger, result) in [("schedule", "success"), ("replacement", "error")] {
        let series = format!("apikey_rotations_total{{trigger=\"{trigger}\",result=\"{result}\"}}");
        assert!(
            Scope::operator(|operator| operator.metric(&series)).is_some(),
            "{series}"
        );
    }
}

#[tokio::test]
async fn schedules_that_cannot_be_kept_are_refused_by_the_api_server() {
    let scope = Scope::shared().await;
    let refusal = |more: &str| {
        let yaml = scope.key_yaml("ci", more);
        scope.try_apply(&yaml).expect_err(more)
    };
    let longer = refusal("rotation: {everyDays: 1, overlapSeconds: 86401}");
    assert!(
        longer.contains("`overlapSeconds` must not exceed `everyDays`"),
        "{longer}"
    );
    let once = refusal("rotation: {everyDays: 30}, secret: {delivery: RevealOnce}");
    assert!(
        once.contains("somebody has to claim each new secret"),
        "{once}"
    );
    let never = refusal("rotation: {everyDays: 0}");
    assert!(never.contains("spec.rotation.everyDays"), "{never}");
}
