//! The API server's audit log shows that every right of both accounts was used, and that none was missing.
//!
//! This API server sends lists in pages. Lists as streams need only the right to watch, so only older API servers
//! use the right to list.

use super::grants::granted;
use super::life::{Processes, change_algorithm, live, lose_rings};
use super::{CONTROLLER, TOKEN_SERVER, named_in};
use crate::support::{Cluster, OPERATOR_NAMESPACE, Scope, api_requests};

/// Compares the granted rights with the requests and their answers.
async fn assert_least_privilege(scope: &Scope<'_>) {
    for account in [CONTROLLER, TOKEN_SERVER] {
        let grants = granted(&scope.client, account).await;
        let requests = api_requests(scope.cluster, account);
        println!(
            "{account}: {} grants, {} requests",
            grants.len(),
            requests.len()
        );
        let forbidden: Vec<_> = requests
            .iter()
            .filter(|request| request.is_refused())
            .collect();
        assert!(forbidden.is_empty(), "{account} may not: {forbidden:#?}");
        let unused: Vec<_> = grants
            .iter()
            .filter(|grant| !requests.iter().any(|r| grant.was_used_by(r, &grants)))
            .collect();
        assert!(unused.is_empty(), "{account} never used: {unused:#?}");
        assert!(!grants.is_empty(), "{account} has no right at all");
    }
}

#[tokio::test]
async fn each_right_of_both_accounts_is_used_in_the_life_of_a_key_and_none_is_missing() {
    let cluster = Cluster::start_with_pages();
    let scope = cluster.scope().await;
    let processes = Processes::start(&cluster, &[]).await;
    live(&scope, &processes.server).await;
    lose_rings(&scope).await;
    let (operator, _server) = processes.hand_over().await;
    operator.terminate().await;
    change_algorithm(&cluster, &scope, &[]).await;
    assert_least_privilege(&scope).await;
}

#[tokio::test]
async fn so_it_is_where_namespaces_are_named_the_operators_own_among_them() {
    let cluster = Cluster::start_with_pages_and_without_chart();
    let cluster = named_in(
        cluster,
        &["team-a"],
        &format!("team-a,{OPERATOR_NAMESPACE}"),
    );
    let watched = format!("--watch-namespaces=team-a,{OPERATOR_NAMESPACE}");
    let processes = Processes::start(&cluster, &[&watched]).await;
    let team = cluster.scope_of("team-a".into()).await;
    let ours = cluster.scope_of(OPERATOR_NAMESPACE.into()).await;
    team.declare_own();
    ours.declare_own();
    futures::join!(
        live(&team, &processes.server),
        live(&ours, &processes.server)
    );
    let (_operator, _server) = processes.hand_over().await;
    assert_least_privilege(&team).await;
}
