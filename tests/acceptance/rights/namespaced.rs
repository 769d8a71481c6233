//! If the chart names namespaces, keys work there, and other namespaces are left alone.

use apikey_api::ApiKey;

use super::life::{Processes, live};
use super::{CONTROLLER, TOKEN_SERVER, install_for, namespaced_cluster};
use crate::support::{Cluster, Login, Scope, api_requests, eventually};

async fn swept(scope: &Scope<'_>, key: &ApiKey) {
    eventually("the sweeper removes the credential record", async || {
        scope.document(key).await.is_none().then_some(())
    })
    .await;
}

/// Every request of either process that named this namespace.
fn requests_to(cluster: &Cluster, namespace: &str) -> Vec<String> {
    let accounts = [CONTROLLER, TOKEN_SERVER];
    let requests = accounts.map(|account| api_requests(cluster, account));
    let requests = requests.iter().flatten();
    let there = requests.filter(|request| request.namespace == namespace);
    there.map(|request| format!("{request:?}")).collect()
}

#[tokio::test]
async fn keys_of_named_namespaces_live_whole_and_those_of_others_are_not_touched() {
    let cluster = namespaced_cluster(&["team-a", "team-b", "team-c"], "team-a,team-b");
    let [a, b, c] = ["team-a", "team-b", "team-c"].map(str::to_owned);
    let [a, b, c] = [
        cluster.scope_of(a).await,
        cluster.scope_of(b).await,
        cluster.scope_of(c).await,
    ];
    for scope in [&a, &b, &c] {
        scope.declare_own();
    }
    c.apply_key("other", "");
    let processes = Processes::start(&cluster, &["--watch-namespaces=team-a,team-b"]).await;
    futures::join!(live(&a, &processes.server), live(&b, &processes.server));
    let (_operator, server) = processes.hand_over().await;
    a.usable(&server, "again", "").await;

    let other = c.keys().get("other").await.unwrap();
    let status = other.status.unwrap();
    assert_eq!((status.phase, status.observed_generation), (None, -1));
    assert!(c.secrets().get_opt("other").await.unwrap().is_none());
    assert_eq!(requests_to(&cluster, "team-c"), [""; 0]);
}

#[tokio::test]
async fn a_namespace_taken_out_is_not_served_and_put_back_it_goes_on_with_the_same_secret() {
    let cluster = namespaced_cluster(&["team-a", "team-b"], "team-a,team-b");
    let both = ["--watch-namespaces=team-a,team-b"];
    let a = cluster.scope_of("team-a".into()).await;
    let b = cluster.scope_of("team-b".into()).await;
    a.declare_own();
    b.declare_own();
    let first = Processes::start(&cluster, &both).await;
    let kept = b.usable(&first.server, "kept", "").await;
    let doomed = b.usable(&first.server, "doomed", "").await;
    let doomed_key = b.ready("doomed").await;
    let [kept, doomed] = [kept, doomed].map(|key| Login::of(&key));
    drop(first);

    install_for(&cluster, "team-a");
    let before = requests_to(&cluster, "team-b").len();
    let less = Processes::start(&cluster, &["--watch-namespaces=team-a"]).await;
    let own = a.usable(&less.server, "own", "").await;
    for login in [&kept, &doomed] {
        assert_eq!(less.server.token_of(login).status, 401);
    }
    b.kubectl(&["delete", "apikey", "doomed"]);
    let own_key = a.ready("own").await;
    a.kubectl(&["delete", "apikey", "own"]);
    swept(&a, &own_key).await;
    drop(own);
    assert!(
        b.document(&doomed_key).await.is_some(),
        "the operator removed the record of a key in a namespace that it does not watch"
    );
    let (operator, server) = less.hand_over().await;
    operator
        .logged("This namespace is not watched any more")
        .await;
    assert_eq!(requests_to(&cluster, "team-b").len(), before);
    drop((operator, server));

    install_for(&cluster, "team-a,team-b");
    let again = Processes::start(&cluster, &both).await;
    assert_eq!(again.server.token_of(&kept).status, 200);
    assert_eq!(again.server.token_of(&doomed).status, 401);
    swept(&b, &doomed_key).await;
    let credential = b.credential(&b.ready("kept").await).await;
    assert_eq!(credential.data("secret"), kept.secret);
}
