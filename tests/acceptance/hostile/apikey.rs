//! ApiKeys.

use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use apikey_api::{ApiKey, names};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use super::{Poison, World, apikey_path, make_unreadable, poison, refused};
use crate::support::{Cluster, Login, Operator, Scope, eventually};

/// Longest time until a suspension takes effect while another tenant writes all the time. A broken watch
/// would take longer.
const AT_ONCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_key_with_managed_fields_that_nobody_can_read_is_suspended_and_deleted_as_any_other() {
    let cluster = Cluster::start();
    let world = World::start(&cluster).await;
    let broken_watches = || {
        let processes = [&world.operator, &world.server.process];
        let series = r#"apikey_watch_failures_total{kind="ApiKey"}"#;
        processes.map(|process| process.metric(series).map(f64::to_bits))
    };
    let broken_before = broken_watches();
    for kind in Poison::ALL {
        let (attacker, victim) = (&world.attacker, &world.victim);
        let [bad, doomed, good] = [
            world.key(attacker, "bad").await,
            world.key(attacker, "doomed").await,
            world.key(victim, "good").await,
        ];
        for name in ["bad", "doomed"] {
            poison(attacker, &apikey_path(attacker, name), kind).await;
        }
        attacker.patch_key("bad", r#"{"suspended": true}"#);
        world.refused("the suspended key", &bad).await;
        attacker.kubectl(&["delete", "apikey", "doomed"]);
        world.refused("the deleted key", &doomed).await;
        // The controller writes to this key as to any other.
        attacker.patch_key("bad", r#"{"suspended": false}"#);
        attacker.wait("condition=Ready", "apikey/bad");
        assert_eq!(world.token(&good).status, 200);
        assert_eq!(broken_watches(), broken_before, "a watch broke");
        for scope in [attacker, victim] {
            scope.kubectl(&["delete", "apikey", "--all"]);
        }
        world.refused("all deleted keys", &good).await;
        world.refused("all deleted keys", &bad).await;
    }
}

#[tokio::test]
async fn others_notice_nothing_of_it_when_the_api_server_or_the_operator_start_again() {
    let mut cluster = Cluster::start();
    let namespaces = {
        let world = World::start(&cluster).await;
        world.key(&world.attacker, "bad").await;
        for kind in Poison::ALL {
            let name = format!("bad-{kind:?}").to_lowercase();
            world.key(&world.attacker, &name).await;
            poison(&world.attacker, &apikey_path(&world.attacker, &name), kind).await;
        }
        [&world.attacker, &world.victim].map(|scope| scope.namespace.clone())
    };
    let victim = cluster.scope_of(namespaces[1].clone()).await;
    let operator = cluster.operator(&super::CONTROLLER);
    let server = cluster.token_server(&super::SERVER);
    server.ready().await;
    super::is_ready("the controller", &operator).await;
    let doomed = Login::of(&victim.usable(&server, "doomed", "").await);
    let kept = Login::of(&victim.usable(&server, "kept", "").await);
    drop(victim);
    cluster.control_plane.stop_apiserver();
    cluster.control_plane.restart_apiserver().unwrap();
    let victim = cluster.scope_of(namespaces[1].clone()).await;
    victim.kubectl(&["delete", "apikey", "doomed"]);
    refused(
        &server,
        "the key that was deleted after the restart",
        &doomed,
    )
    .await;
    victim.usable(&server, "new", "").await;
    assert_eq!(server.token_of(&kept).status, 200);
    for process in [&operator, &server.process] {
        super::is_ready("the process", process).await;
    }
}

#[tokio::test]
async fn touching_such_a_key_all_the_time_delays_nothing_of_others() {
    let cluster = Cluster::start();
    let world = World::start(&cluster).await;
    let (attacker, victim) = (&world.attacker, &world.victim);
    world.key(attacker, "bad").await;
    let good = world.key(victim, "good").await;
    poison(attacker, &apikey_path(attacker, "bad"), Poison::Time).await;
    let touching = async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for n in 0.. {
            tick.tick().await;
            attacker.kubectl(&[
                "annotate",
                "apikey",
                "bad",
                "--overwrite",
                &format!("n={n}"),
            ]);
        }
    };
    let judging = async {
        for suspended in [true, false, true] {
            victim.patch_key("good", &format!(r#"{{"suspended": {suspended}}}"#));
            let begun = Instant::now();
            let wanted = if suspended { 401 } else { 200 };
            crate::support::eventually("the suspension takes effect", async || {
                (world.token(&good).status == wanted).then_some(())
            })
            .await;
            assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
        }
    };
    tokio::select! {
        () = touching => {}
        () = judging => {}
    }
}

#[tokio::test]
async fn a_status_that_nobody_can_read_hides_neither_a_suspension_nor_a_deletion_and_is_put_right()
{
    let cluster = Cluster::start();
    let world = World::start(&cluster).await;
    let attacker = &world.attacker;
    let [bad, doomed] = [
        world.key(attacker, "bad").await,
        world.key(attacker, "doomed").await,
    ];
    let broken = r#"{"status": {"rotatedAt": "2026-01-01T00:00:00+99:99"}}"#;
    for name in ["bad", "doomed"] {
        attacker.kubectl(&[
            "patch",
            "apikey",
            name,
            "--subresource=status",
            "--type=merge",
            "-p",
            broken,
        ]);
    }
    attacker.patch_key("bad", r#"{"suspended": true}"#);
    world.refused("the suspended key", &bad).await;
    attacker.kubectl(&["delete", "apikey", "doomed"]);
    world.refused("the deleted key", &doomed).await;
    attacker.patch_key("bad", r#"{"suspended": false}"#);
    crate::support::eventually("the status is correct", async || {
        rotated_at(attacker, "bad").is_empty().then_some(())
    })
    .await;
    assert_eq!(world.token(&bad).status, 200);
}

fn rotated_at(scope: &Scope<'_>, name: &str) -> String {
    scope.kubectl(&["get", "apikey", name, "-o", "jsonpath={.status.rotatedAt}"])
}

#[tokio::test]
async fn a_key_that_can_t_be_read_keeps_its_record_and_leaves_none_when_it_is_deleted() {
    let cluster = Cluster::start();
    let operator = cluster.operator(&super::CONTROLLER);
    let scope = cluster.scope().await;
    let mut keys = Vec::new();
    for name in ["seen", "listed"] {
        scope.apply_key(name, "");
        keys.push(scope.ready(name).await);
    }
    for name in ["seen", "listed"] {
        make_unreadable(&scope, name).await;
    }
    let [seen, listed] = keys.try_into().unwrap();
    keeps_until_deleted(&scope, &operator, &seen, 2.0).await;
    operator.kill();
    // This operator has never been able to read the key.
    let operator = cluster.operator(&super::CONTROLLER);
    keeps_until_deleted(&scope, &operator, &listed, 1.0).await;
}

/// The sweeper keeps the credential record while the key exists, and removes it once the key is gone.
async fn keeps_until_deleted(
    scope: &Scope<'_>,
    operator: &Operator,
    key: &ApiKey,
    unreadable: f64,
) {
    let series = r#"apikey_unreadable_objects{kind="ApiKey"}"#;
    eventually("the operator reports the keys as unreadable", async || {
        (operator.metric(series) == Some(unreadable)).then_some(())
    })
    .await;
    let swept = r#"controller_runtime_reconcile_total{controller="verifier",result="success"}"#;
    let before = operator.metric(swept).unwrap_or_default();
    let record = names::record_secret(key.metadata.uid.as_deref().unwrap());
    let touch = Patch::Merge(json!({"metadata": {"annotations": {"example.com/touched": "true"}}}));
    let params = PatchParams::default();
    let operator_secrets = scope.operator_secrets();
    operator_secrets
        .patch(&record, &params, &touch)
        .await
        .unwrap();
    eventually("the sweeper checks the credential record", async || {
        (operator.metric(swept)? > before).then_some(())
    })
    .await;
    let document = scope
        .document(key)
        .await
        .expect("the credential record stays");
    let name = key.metadata.name.as_deref().unwrap();
    let params = DeleteParams::default();
    scope.keys().delete(name, &params).await.unwrap();
    eventually("the sweeper removes the credential record", async || {
        scope.document(key).await.is_none().then_some(())
    })
    .await;
    let revocations = || {
        let lines = operator.audit().into_iter();
        let of_key = lines.filter(|line| line["keyId"] == document.key_id.as_str());
        of_key.filter(|line| line["action"] == "Revoke").count()
    };
    eventually("the audit lines have the revocation", async || {
        (revocations() > 0).then_some(())
    })
    .await;
    eventually("no unreadable object is left", async || {
        (operator.metric(series) == Some(unreadable - 1.0)).then_some(())
    })
    .await;
    assert_eq!(revocations(), 1);
}
