//! Signing keys are created once, rotated in time, and never lost by the operator.

use apikey_api::names;
use apikey_credential::signing::{Algorithm, SigningKey, SigningRing, rotation};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use crate::support::{Cluster, OPERATOR_NAMESPACE, Operator, Scope, eventually, run};

#[expect(
    clippy::disallowed_methods,
    reason = "the operator's clock is real too"
)]
fn now() -> Timestamp {
    Timestamp::now()
}

fn ring_json(secret: &Secret) -> &[u8] {
    &secret.data.as_ref().unwrap()[names::KEY_RING_DATA_KEY].0
}

fn kids(secret: &Secret) -> Vec<String> {
    let ring = SigningRing::parse(ring_json(secret)).unwrap();
    let kids = ring.keys().iter().map(|key| key.kid().to_owned());
    kids.collect()
}

/// Waits until the ring is as `wanted`. Returns its Secret.
async fn stored(scope: &Scope<'_>, what: &str, wanted: impl Fn(&Secret) -> bool) -> Secret {
    let wanted = &wanted;
    eventually(&format!("the signing ring is {what}"), async || {
        let found = scope
            .operator_secrets()
            .get_opt(names::SIGNING_KEYS_SECRET)
            .await;
        found.unwrap().filter(wanted)
    })
    .await
}

async fn logged(operator: &Operator, text: &str) {
    eventually(&format!("the operator logs {text}"), async || {
        operator.stderr().contains(text).then_some(())
    })
    .await;
}

async fn replace_ring(scope: &Scope<'_>, json: &[u8]) {
    let json = ByteString(json.to_vec());
    let patch = Patch::Merge(json!({"data": {names::KEY_RING_DATA_KEY: json}}));
    let secrets = scope.operator_secrets();
    secrets
        .patch(names::SIGNING_KEYS_SECRET, &PatchParams::default(), &patch)
        .await
        .unwrap();
}

const SIGNS: &str = "This key signs tokens now";

/// Whether the operator has logged that this key signs.
fn signs(operator: &Operator, kid: &str) -> bool {
    let log = operator.stderr();
    let mut lines = log.lines();
    lines.any(|line| line.contains(SIGNS) && line.contains(kid))
}

#[tokio::test]
async fn the_ring_is_made_once_and_another_algorithm_joins_it_in_time() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let first = cluster.operator(&[]);
    let made = stored(&scope, "made", |_| true).await;
    let labels = made.metadata.labels.as_ref().unwrap();
    assert_eq!(labels[names::LABEL_COMPONENT], names::COMPONENT_KEY_RING);
    assert_eq!(made.type_.as_deref(), Some(names::KEY_RING_SECRET_TYPE));
    let old = kids(&made);
    assert_eq!(old.len(), 1);
    logged(&first, SIGNS).await;
    first.terminate().await;

    let second = cluster.operator(&[]);
    logged(&second, SIGNS).await;
    let kept = stored(&scope, "there", |_| true).await;
    assert_eq!(
        kept.metadata.resource_version,
        made.metadata.resource_version
    );
    second.terminate().await;

    // The operator keeps what others add to the Secret.
    let label = json!({"metadata": {"labels": {"backup": "yes"}}});
    let secrets = scope.operator_secrets();
    secrets
        .patch(
            names::SIGNING_KEYS_SECRET,
            &PatchParams::default(),
            &Patch::Merge(label),
        )
        .await
        .unwrap();
    let third = cluster.operator(&["--signing-algorithm=EdDSA"]);
    let grown = stored(&scope, "grown", |secret| kids(secret).len() == 2).await;
    let ring = SigningRing::parse(ring_json(&grown)).unwrap();
    let (current, next) = (ring.current(now()).unwrap(), &ring.keys()[1]);
    assert_eq!(current.kid(), old[0]);
    assert_eq!(current.algorithm(), Algorithm::Es256);
    assert_eq!(next.algorithm(), Algorithm::EdDsa);
    let ahead = next.signs_from().duration_since(next.created_at());
    assert!(ahead >= rotation::PUBLISH_AHEAD, "{ahead}");
    assert_eq!(grown.metadata.labels.unwrap()["backup"], "yes");
    logged(&third, SIGNS).await;
    assert!(signs(&third, current.kid()));
}

#[tokio::test]
async fn a_removed_ring_comes_back_with_the_same_keys() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let _operator = cluster.operator(&["--signing-algorithm=RS256"]);
    let made = stored(&scope, "made", |_| true).await;
    let uid = made.metadata.uid.clone();
    let (secret, namespace) = (names::SIGNING_KEYS_SECRET, OPERATOR_NAMESPACE);
    scope.kubectl(&["delete", "secret", secret, "-n", namespace]);
    let back = stored(&scope, "back", |secret| secret.metadata.uid != uid).await;
    assert_eq!(kids(&back), kids(&made));
    assert_eq!(ring_json(&back), ring_json(&made));
}

#[tokio::test]
async fn a_damaged_ring_is_left_alone_and_stops_nothing() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let running = cluster.operator(&["--leader-elect=false"]);
    let made = stored(&scope, "made", |_| true).await;
    let json = ring_json(&made);
    let whole = String::from_utf8(json.to_vec()).unwrap();
    let newer = whole.replace("\"version\":1", "\"version\":99");
    let gauge = |value: u8| {
        let secret = names::SIGNING_KEYS_SECRET;
        format!("apikey_key_ring_unreadable{{secret=\"{secret}\"}} {value}")
    };
    let shows = async |operator: &Operator, line: &str| {
        eventually(line, async || {
            let (_, metrics) = operator.get("/metrics")?;
            metrics.contains(line).then_some(())
        })
        .await;
    };
    for (name, damaged, cause) in [
        (
            "half",
            &json[..json.len() / 2],
            "is not a document of this kind",
        ),
        ("newer", newer.as_bytes(), "has version 99"),
    ] {
        replace_ring(&scope, damaged).await;
        logged(&running, cause).await;
        logged(&running, "goes on with the ring it knows").await;
        shows(&running, &gauge(1)).await;
        scope.apply_key(&format!("{name}-running"), "");
        scope.ready(&format!("{name}-running")).await;

        let started = cluster.operator(&["--leader-elect=false", "--signing-algorithm=EdDSA"]);
        logged(&started, cause).await;
        logged(&started, "Restore the Secret from a backup").await;
        logged(&started, names::SIGNING_KEYS_SECRET).await;
        scope.apply_key(&format!("{name}-started"), "");
        scope.ready(&format!("{name}-started")).await;
        assert_eq!(started.get("/readyz").unwrap().0, 200);
        started.terminate().await;
        let left = stored(&scope, "there", |_| true).await;
        assert_eq!(ring_json(&left), damaged);
        let log = running.stderr() + &started.stderr();
        let keys: serde_json::Value = serde_json::from_slice(json).unwrap();
        let private = keys["keys"][0]["key"].as_str().unwrap();
        assert!(!log.contains(&private[private.len() / 2..]));
    }
    // The running controller still has the keys, as its log says.
    let (secret, namespace) = (names::SIGNING_KEYS_SECRET, OPERATOR_NAMESPACE);
    scope.kubectl(&["delete", "secret", secret, "-n", namespace]);
    let back = stored(&scope, "back", |secret| ring_json(secret) == json).await;
    assert_ne!(back.metadata.uid, made.metadata.uid);
    shows(&running, &gauge(0)).await;
}

#[tokio::test]
async fn keys_take_over_and_go_at_their_time_and_rivals_agree() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let key = |algorithm, hours| {
        let signs_from = now() + SignedDuration::from_hours(hours);
        SigningKey::generate(algorithm, signs_from, signs_from).unwrap()
    };
    let dead = key(Algorithm::Es256, -100);
    let current = key(Algorithm::EdDsa, -30);
    let soon = now() + SignedDuration::from_secs(8);
    let next = SigningKey::generate(Algorithm::Es256, now(), soon).unwrap();
    let soon = next.signs_from();
    let [dead_kid, current_kid, next_kid] =
        [&dead, &current, &next].map(|key| key.kid().to_owned());
    let ring = [dead, current, next]
        .into_iter()
        .fold(SigningRing::default(), |ring, key| {
            ring.changed(Some(key), &[])
        });
    let mut secret = Secret::default();
    secret.metadata.name = Some(names::SIGNING_KEYS_SECRET.into());
    let json = ByteString(ring.to_json().unwrap().to_vec());
    secret.data = Some([(names::KEY_RING_DATA_KEY.into(), json)].into());
    let secrets = scope.operator_secrets();
    secrets
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();

    let rivals = [
        cluster.operator(&["--leader-elect=false"]),
        cluster.operator(&["--leader-elect=false"]),
    ];
    let shorter = stored(&scope, "shorter", |secret| kids(secret).len() == 2).await;
    assert_eq!(kids(&shorter), [&*current_kid, &*next_kid]);
    for rival in &rivals {
        for kid in [&current_kid, &next_kid] {
            eventually("the next key signs tokens", async || {
                signs(rival, kid).then_some(())
            })
            .await;
        }
        assert!(!signs(rival, &dead_kid));
    }
    assert!(now() >= soon);
    let settled = stored(&scope, "there", |_| true).await;
    assert_eq!(
        settled.metadata.resource_version,
        shorter.metadata.resource_version
    );

    // If two controllers create a ring at once, there is one ring.
    drop(rivals);
    let (secret, namespace) = (names::SIGNING_KEYS_SECRET, OPERATOR_NAMESPACE);
    scope.kubectl(&["delete", "secret", secret, "-n", namespace]);
    let rivals = [
        cluster.operator(&["--leader-elect=false"]),
        cluster.operator(&["--leader-elect=false"]),
    ];
    for rival in &rivals {
        logged(rival, SIGNS).await;
    }
    let made = stored(&scope, "made", |_| true).await;
    let kids = kids(&made);
    assert_eq!(kids.len(), 1);
    assert!(rivals.iter().all(|rival| signs(rival, &kids[0])));
}

#[tokio::test]
async fn a_namespace_that_does_not_exist_is_reported_and_not_asked_for_without_a_pause() {
    let cluster = Cluster::start_without_chart();
    let crds = concat!(env!("CARGO_MANIFEST_DIR"), "/crds");
    let mut kubectl = cluster.control_plane.kubectl();
    run(kubectl.args(["create", "--filename", crds]));
    let admin = cluster.control_plane.admin_kubeconfig();
    let operator = cluster.operator_of(admin, &["--leader-elect=false"]);
    logged(&operator, "The signing ring can't be kept").await;
    logged(&operator, "No secret can be minted yet").await;
    let requests = std::fs::read_to_string(cluster.control_plane.audit_log()).unwrap();
    let creates = requests.lines().filter(|line| {
        let request: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        request["verb"] == "create" && request["objectRef"]["namespace"] == OPERATOR_NAMESPACE
    });
    assert!((1..50).contains(&creates.count()));
}
