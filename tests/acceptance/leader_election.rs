//! One controller leads at any time, despite changes of the Lease and failures of the leader's connection.

use std::time::Duration;

use apikey_api::names;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::{Cluster, OPERATOR_NAMESPACE, Operator, Scope, eventually, run};

const LEADING: &str = "Leading: reconciling";
const NO_LONGER: &str = "No longer leading";
/// A standby takes over 15 seconds after the last renewal. It also waits between two attempts.
const TAKEOVER: Duration = Duration::from_secs(20);

/// Runs kubectl for the Lease.
fn lease(cluster: &Cluster, verb: &str, more: &[&str]) -> String {
    run(cluster
        .control_plane
        .kubectl()
        .args(["--namespace", OPERATOR_NAMESPACE, verb, "lease"])
        .arg(names::CONTROLLER_LEASE)
        .args(more))
}

fn edit(cluster: &Cluster, spec: &Value) {
    let patch = json!({"spec": spec}).to_string();
    lease(cluster, "patch", &["--type=merge", "--patch", &patch]);
}

/// The spec of the Lease; `Null` if there is no Lease.
fn spec(cluster: &Cluster) -> Value {
    let found = lease(cluster, "get", &["--ignore-not-found", "--output=json"]);
    serde_json::from_str::<Value>(&found).map_or(Value::Null, |lease| lease["spec"].clone())
}

fn holder(cluster: &Cluster) -> Option<String> {
    let holder = spec(cluster)["holderIdentity"].as_str()?.to_owned();
    Some(holder).filter(|holder| !holder.is_empty())
}

async fn renewed(cluster: &Cluster) -> Value {
    let before = spec(cluster)["renewTime"].clone();
    eventually("the leader renews the lease", async || {
        let now = spec(cluster);
        (now["renewTime"] != before && holder(cluster).is_some()).then_some(now)
    })
    .await
}

/// The last time at which the process logged this text.
fn logged_at(operator: &Operator, text: &str) -> Option<Timestamp> {
    let log = operator.stderr();
    let line = log.lines().rfind(|line| line.contains(text))?;
    Some(line.split(' ').next()?.parse().unwrap())
}

/// Waits until the process leads. Returns the time from the given one until then.
async fn leads_after(operator: &Operator, since: Timestamp) -> Duration {
    operator.logged(LEADING).await;
    let began = logged_at(operator, LEADING).unwrap();
    began.duration_since(since).try_into().unwrap_or_default()
}

/// A leader that has renewed the Lease, and a controller that stands by.
async fn pair(cluster: &Cluster) -> (Operator, Operator) {
    let leader = cluster.operator(&[]);
    leader.logged(LEADING).await;
    let standby = cluster.operator(&[]);
    eventually("the other controller stands by", async || {
        (standby.get("/readyz")?.0 == 200).then_some(())
    })
    .await;
    renewed(cluster).await;
    (leader, standby)
}

async fn mints(scope: &Scope<'_>, name: &str) {
    scope.apply_key(name, "");
    scope.ready(name).await;
}

#[tokio::test]
async fn a_deleted_lease_is_recreated_by_the_leader_and_can_be_acquired() {
    let cluster = Cluster::start();
    let (leader, standby) = pair(&cluster).await;
    let before = holder(&cluster);
    lease(&cluster, "delete", &[]);
    eventually("the lease exists again", async || {
        holder(&cluster).map(|_| ())
    })
    .await;
    assert_eq!(holder(&cluster), before, "the leader still leads");
    renewed(&cluster).await;
    assert!(logged_at(&leader, NO_LONGER).is_none());
    assert!(logged_at(&standby, LEADING).is_none());

    lease(&cluster, "delete", &[]);
    leader.kill();
    let killed = crate::support::now();
    let took = leads_after(&standby, killed).await;
    println!("after a crash of the leader and a lost lease: the standby led after {took:.1?}");
    assert!(took < TAKEOVER, "{took:?}");
    let scope = cluster.scope().await;
    mints(&scope, "ci").await;
}

#[tokio::test]
async fn no_content_of_the_lease_keeps_a_standby_from_leading() {
    let cluster = Cluster::start();
    let ahead = "2999-01-01T00:00:00.000000Z";
    let contents = [
        json!({"renewTime": ahead, "acquireTime": ahead}),
        json!({"renewTime": "0001-01-01T00:00:00.000000Z", "leaseDurationSeconds": null}),
        json!({"holderIdentity": "a\u{202e}\n", "leaseTransitions": i32::MAX, "renewTime": ahead}),
        json!({"holderIdentity": "", "renewTime": ahead}),
        Value::Null,
    ];
    for content in contents {
        let (leader, standby) = pair(&cluster).await;
        leader.kill();
        edit(&cluster, &content);
        let edited = crate::support::now();
        let took = leads_after(&standby, edited).await;
        println!("{content}: led after {took:.1?}");
        assert!(took < TAKEOVER, "{content}: {took:?}");
        renewed(&cluster).await;
        standby.terminate().await;
        assert_eq!(holder(&cluster), None, "the lease has no holder");
    }
}

#[tokio::test]
async fn a_leader_whose_lease_is_edited_holds_it_again_and_absurd_durations_end() {
    let cluster = Cluster::start();
    let (leader, standby) = pair(&cluster).await;
    let own = holder(&cluster);
    let ahead = "2999-01-01T00:00:00.000000Z";
    edit(
        &cluster,
        &json!({"renewTime": ahead, "leaseDurationSeconds": i32::MAX}),
    );
    let spec = renewed(&cluster).await;
    assert_eq!(spec["leaseDurationSeconds"], 15);
    assert_eq!(holder(&cluster), own);
    assert!(logged_at(&leader, NO_LONGER).is_none());

    // A holder that never renews, with a duration of 68 years. The former leader and the standby replace it.
    edit(
        &cluster,
        &json!({"holderIdentity": "mallory", "leaseDurationSeconds": i32::MAX}),
    );
    let edited = crate::support::now();
    leader.logged(NO_LONGER).await;
    let holder = eventually("one of the controllers leads again", async || {
        holder(&cluster).filter(|holder| holder != "mallory")
    })
    .await;
    let took = crate::support::now().duration_since(edited);
    println!("after a holder for 68 years: {holder} led after {took:.1?}");
    drop((leader, standby));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_gets_no_answer_stands_down_before_another_leads() {
    let cluster = Cluster::start();
    let tcp_proxy = cluster.tcp_proxy(Duration::ZERO).await;
    let leader = cluster.operator_through(&tcp_proxy, &[]);
    leader.logged(LEADING).await;
    let standby = cluster.operator(&[]);
    renewed(&cluster).await;
    tcp_proxy.silence_forever();
    let silent = crate::support::now();
    let took = leads_after(&standby, silent).await;
    let stood_down = logged_at(&leader, NO_LONGER).expect("the leader has stood down");
    let led = logged_at(&standby, LEADING).unwrap();
    println!(
        "silent: stood down after {:.1?}, the other led after {took:.1?}",
        stood_down.duration_since(silent)
    );
    assert!(stood_down < led, "{stood_down} {led}");
    assert!(took < TAKEOVER, "{took:?}");
    let scope = cluster.scope().await;
    mints(&scope, "ci").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_connections_fall_silent_goes_on_with_new_ones() {
    let cluster = Cluster::start();
    let tcp_proxy = cluster.tcp_proxy(Duration::ZERO).await;
    let leader = cluster.operator_through(&tcp_proxy, &[]);
    leader.logged(LEADING).await;
    let standby = cluster.operator(&[]);
    for _ in 0..3 {
        renewed(&cluster).await;
        tcp_proxy.silence();
    }
    renewed(&cluster).await;
    renewed(&cluster).await;
    assert!(logged_at(&leader, NO_LONGER).is_none());
    assert!(logged_at(&standby, LEADING).is_none());
}

#[tokio::test]
async fn a_leader_that_was_frozen_does_not_lead_beside_its_successor() {
    let cluster = Cluster::start();
    let (leader, standby) = pair(&cluster).await;
    let signal = |name: &str| {
        let mut kill = std::process::Command::new("kill");
        run(kill.args([name, leader.pid()]));
    };
    signal("-STOP");
    let stopped = crate::support::now();
    let took = leads_after(&standby, stopped).await;
    println!("frozen: the other led after {took:.1?}");
    assert!(took < TAKEOVER, "{took:?}");
    let successor = renewed(&cluster).await;
    signal("-CONT");
    leader.logged(NO_LONGER).await;
    let now = renewed(&cluster).await;
    assert_eq!(now["holderIdentity"], successor["holderIdentity"]);
    assert!(logged_at(&standby, NO_LONGER).is_none());
}

#[tokio::test]
async fn a_leader_that_ends_gives_the_lease_back() {
    let cluster = Cluster::start();
    let (leader, standby) = pair(&cluster).await;
    let transitions = spec(&cluster)["leaseTransitions"].as_i64().unwrap();
    leader.terminate().await;
    let ended = logged_at(&leader, "Stopped").unwrap();
    let took = leads_after(&standby, ended).await;
    println!("given back: the other led after {took:.1?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(renewed(&cluster).await["leaseTransitions"], transitions + 1);
}
