//! A hostile tenant with the rights of an admin of its own namespace. All the time it writes large objects, and
//! objects that only the API server can read.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use k8s_openapi::api::authorization::v1::LocalSubjectAccessReview;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use tokio::time::MissedTickBehavior;

use crate::common::cluster::Cluster;
use crate::hostile_object::Kind;
use crate::raw;
use crate::world::World;

pub(crate) const NAMESPACE: &str = "hostile";
const USER: &str = "mallory";
/// Nine changes a second. A watch that backs off after each failure opens less often.
const PACE: Duration = Duration::from_millis(111);
/// The time between changes of a status and of a Secret, and between changes of a large object.
const RARELY: Duration = Duration::from_secs(1);
const SELDOM: Duration = Duration::from_secs(5);
/// Objects of each kind.
const COUNT: usize = 3;
/// Creates the namespace of the tenant, and waits until it may create keys there. Kubernetes adds the rights of
/// the chart to those of an admin a moment later.
pub(crate) async fn settle(cluster: &Cluster) {
    cluster.namespace(NAMESPACE);
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": { "name": "admin" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER }],
    }))
    .unwrap();
    let bindings = Api::namespaced(cluster.client.clone(), NAMESPACE);
    bindings
        .create(&PostParams::default(), &binding)
        .await
        .unwrap();
    let reviews = Api::<LocalSubjectAccessReview>::namespaced(cluster.client.clone(), NAMESPACE);
    let review: LocalSubjectAccessReview = serde_json::from_value(json!({
        "metadata": { "namespace": NAMESPACE },
        "spec": { "user": USER, "resourceAttributes": {
            "namespace": NAMESPACE, "verb": "create", "group": "apikey-operator.dev", "resource": "apikeys",
        }},
    }))
    .unwrap();
    let mut tick = tokio::time::interval(PACE);
    loop {
        tick.tick().await;
        let answer = reviews.create(&PostParams::default(), &review).await;
        if answer.unwrap().status.is_some_and(|status| status.allowed) {
            return;
        }
    }
}

/// Writes hostile objects forever. The API server may be away.
pub(crate) async fn trouble(world: Arc<World>) {
    for (kind, n) in Kind::ALL
        .into_iter()
        .flat_map(|kind| (0..COUNT).map(move |n| (kind, n)))
    {
        let (path, object) = (kind.collection(), kind.object(n));
        let created = raw::send(&world.client, Some(USER), Method::POST, path, &object).await;
        created.expect("a tenant with the rights of an admin");
    }
    tokio::join!(
        every(&world, PACE, &[Kind::ManagedFields]),
        every(&world, RARELY, &[Kind::Status, Kind::Secret]),
        every(&world, SELDOM, &[Kind::Finalizers, Kind::Annotations]),
    );
}

/// Changes objects of these kinds forever, one of each kind in turn.
async fn every(world: &World, pace: Duration, kinds: &[Kind]) {
    let mut tick = tokio::time::interval(pace);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for turn in 0.. {
        tick.tick().await;
        for kind in kinds {
            write(world, *kind, turn).await;
        }
    }
}

async fn write(world: &World, kind: Kind, turn: usize) {
    let name = kind.object_name(turn % COUNT);
    // An admin of a namespace may not write a status, so the benchmark writes it as administrator.
    let (user, part) = match kind {
        Kind::Status => (None, "/status"),
        Kind::ManagedFields | Kind::Secret | Kind::Finalizers | Kind::Annotations => {
            (Some(USER), "")
        }
    };
    let path = format!("{}/{name}{part}", kind.collection());
    let stored = raw::send(
        &world.client,
        user,
        Method::PATCH,
        &path,
        &kind.change(turn),
    )
    .await;
    if stored.is_ok_and(|stored| stored.contains(&kind.mark())) {
        world.tally.lock().counts.hostile[kind as usize] += 1;
    }
}
