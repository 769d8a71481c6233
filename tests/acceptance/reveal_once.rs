//! A secret that is shown once is shown to one reader, and is not kept afterwards.

use apikey_api::{ApiKey, conditions};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::{
    Cluster, Credential, Inside, Login, MovedClock, Scope, eventually, is_stored,
};

const ONCE: &str = "secret: {delivery: RevealOnce}";

fn delivered_reason(key: &ApiKey) -> String {
    let status = key.status.as_ref().unwrap();
    let delivered = conditions::find(&status.conditions, conditions::DELIVERED);
    delivered.unwrap().reason.clone()
}

async fn awaiting(scope: &Scope<'_>, name: &str, more: &str) -> Credential {
    scope.apply_key(name, more);
    let key = scope
        .key(name, "waiting for its claim", |key| {
            key.status.is_some() && delivered_reason(key) == "AwaitingClaim"
        })
        .await;
    scope.credential(&key).await
}

#[tokio::test]
async fn of_claims_at_once_one_has_the_secret_and_then_nothing_stored_has_it() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let operator = cluster.operator(&[]);
    let server = cluster.token_server(&[]);
    let waiting = awaiting(&scope, "ci", ONCE).await;
    let value = waiting.data("secret");
    assert!(
        is_stored(&cluster, &value),
        "the search does not find a text that etcd stores"
    );

    let claims = futures::future::join_all((0..8).map(|_| scope.claim("ci"))).await;
    let claimed: Vec<_> = claims.into_iter().flatten().collect();
    assert_eq!(claimed.len(), 1, "not exactly one claim succeeds");
    let data = claimed[0].data.as_ref().unwrap();
    assert_eq!(String::from_utf8(data["secret"].0.clone()).unwrap(), value);

    let key = scope
        .key("ci", "revealed", |key| {
            key.status.as_ref().is_some_and(|s| s.revealed_at.is_some())
        })
        .await;
    assert_eq!(delivered_reason(&key), "Revealed");
    eventually("the Secret is gone", async || {
        scope
            .secrets()
            .get_opt("ci")
            .await
            .unwrap()
            .is_none()
            .then_some(())
    })
    .await;
    assert!(!is_stored(&cluster, &value));
    assert!(scope.claim("ci").await.is_none());
    let login = Login::of(&waiting);
    server.ready().await;
    assert_eq!(
        server.token_of(&login).status,
        200,
        "the token server refuses the claimed secret"
    );

    operator.kill();
    let operator = cluster.operator(&[]);
    scope.rotate("ci", "1").await;
    let next = awaiting(&scope, "ci", ONCE).await;
    assert_ne!(next.data("secret"), value);
    assert_eq!(next.data("key-id"), waiting.data("key-id"));
    let text = operator.audit();
    assert!(text.iter().any(|line| line["action"] == "Rotate"));
}

/// Claims the secret of a key whose Secret somebody changed by a merge patch, and waits for what the status says
/// of its delivery.
async fn claimed_of(scope: &Scope<'_>, patch: &Value, expected: &str) {
    awaiting(scope, "ci", ONCE).await;
    let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
    scope.secrets().patch("ci", &params, &patch).await.unwrap();
    scope
        .claim("ci")
        .await
        .expect("the secret was claimed already");
    let is_reported = |key: &ApiKey| {
        let status = key.status.as_ref();
        let delivered = status.and_then(|s| conditions::find(&s.conditions, conditions::DELIVERED));
        delivered.is_some_and(|c| c.reason == "Revealed" && c.message.contains(expected))
    };
    scope.key("ci", expected, is_reported).await;
}

#[tokio::test]
async fn a_finalizer_keeps_an_empty_shell_after_the_claim() {
    let scope = Scope::shared().await;
    let kept = json!({"metadata": {"finalizers": ["example.com/keep"]}});
    claimed_of(&scope, &kept, "is kept nowhere").await;
    eventually("the Secret is empty", async || {
        scope.delivered("ci").await.data.is_none().then_some(())
    })
    .await;
    let open = json!({"metadata": {"finalizers": null}});
    let (params, patch) = (PatchParams::default(), Patch::Merge(&open));
    scope.secrets().patch("ci", &params, &patch).await.unwrap();
    assert!(scope.secrets().get_opt("ci").await.unwrap().is_none());
}

#[tokio::test]
async fn a_finalizer_that_keeps_what_nobody_can_change_is_reported() {
    let scope = Scope::shared().await;
    let kept = json!({"immutable": true, "metadata": {"finalizers": ["example.com/keep"]}});
    claimed_of(&scope, &kept, "Remove the finalizer").await;
    let open = json!({"metadata": {"finalizers": null}});
    let (params, patch) = (PatchParams::default(), Patch::Merge(&open));
    scope.secrets().patch("ci", &params, &patch).await.unwrap();
    let is_reported = |key: &ApiKey| {
        let status = key.status.as_ref().unwrap();
        let delivered = conditions::find(&status.conditions, conditions::DELIVERED);
        delivered.unwrap().message.contains("is kept nowhere")
    };
    scope.key("ci", "reported as discarded", is_reported).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unclaimed_it_goes_at_its_time_and_comes_back_only_on_request() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let clock = MovedClock::default();
    let client = kube::Client::try_from(cluster.operator_config().await).unwrap();
    let _operator = Inside::controller(client, clock.clock()).await;
    let more = "secret: {delivery: RevealOnce, revealWithinSeconds: 3600}";
    let waiting = awaiting(&scope, "ci", more).await;
    let wake = async |token| scope.annotate("ci", &[("woken", token)]).await;
    clock.advance(3500);
    wake("before").await;
    scope.apply_key(
        "ci",
        &format!("{more}, description: looked at before its time"),
    );
    scope.ready("ci").await;
    assert!(
        scope.secrets().get_opt("ci").await.unwrap().is_some(),
        "the operator removed the secret before its deadline"
    );

    clock.advance(200);
    wake("after").await;
    let message = scope.refused("ci", "ClaimExpired").await;
    assert!(message.contains("rotate"), "{message}");
    assert!(scope.secrets().get_opt("ci").await.unwrap().is_none());
    assert!(!is_stored(&cluster, &waiting.data("secret")));
    scope.rotate("ci", "1").await;
    let next = awaiting(&scope, "ci", more).await;
    assert_ne!(next.data("secret"), waiting.data("secret"));
}

#[tokio::test]
async fn removed_before_its_claim_it_counts_as_taken_and_is_not_minted_again() {
    let scope = Scope::shared().await;
    awaiting(&scope, "ci", ONCE).await;
    scope.kubectl(&["delete", "secret", "ci"]);
    let key = scope
        .key("ci", "reported as removed", |key| {
            delivered_reason(key) == "SecretRemoved"
        })
        .await;
    assert_eq!(key.status.unwrap().revision, Some(1));
    assert!(scope.secrets().get_opt("ci").await.unwrap().is_none());
}

#[tokio::test]
async fn how_a_secret_is_delivered_is_fixed_at_creation() {
    let scope = Scope::shared().await;
    scope.apply_key("once", ONCE);
    let refusal = |name: &str, more: &str| {
        let yaml = scope.key_yaml(name, more);
        scope.try_apply(&yaml).expect_err(more)
    };
    let kept = refusal("once", "secret: {delivery: Keep}");
    assert!(kept.contains("`secret.delivery` is immutable"), "{kept}");
    let within = refusal("other", "secret: {revealWithinSeconds: 60}");
    assert!(
        within.contains("requires `delivery: RevealOnce`"),
        "{within}"
    );
}
