//! Objects may arrive in any order.

use crate::support::{Cluster, eventually};

#[tokio::test]
async fn without_its_definitions_the_operator_waits_reports_it_and_heals() {
    let cluster = Cluster::start_without_crds();
    let operator = cluster.operator(&[]);
    let (code, report) = eventually("the operator reports that it waits", async || {
        operator
            .get("/readyz")
            .filter(|(_, report)| report.contains("not installed"))
    })
    .await;
    assert_eq!(code, 503);
    assert!(report.contains("apikeys.apikey-operator.dev"), "{report}");
    assert_eq!(operator.get("/livez").unwrap().0, 200);
    assert!(
        operator.stderr().contains("apikey-operator crds"),
        "{}",
        operator.stderr()
    );

    cluster.install_chart(&[]);
    eventually("the operator is ready", async || {
        operator.get("/readyz").filter(|(code, _)| *code == 200)
    })
    .await;
    let scope = cluster.scope().await;
    scope.apply_key("ci", "");
    scope.ready("ci").await;
    operator.terminate().await;
}

#[tokio::test]
async fn a_key_may_come_before_its_organization_and_both_before_the_operator() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    scope.apply_key("ci", "roles: [build]");
    scope.declare(
        scope.org(),
        "{allowedNamespaces: {from: All}, roles: [{key: build}]}",
    );
    let _operator = cluster.operator(&[]);
    scope.ready("ci").await;
}
