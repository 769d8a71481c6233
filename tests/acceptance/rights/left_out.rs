//! A tenant can remove the operator's rights in its own namespace, and in no other.

use super::{install_for, namespaced_cluster};
use crate::support::{Login, eventually};

#[tokio::test]
async fn a_namespace_without_our_rights_or_not_there_yet_holds_up_no_other() {
    let cluster = namespaced_cluster(&["team-a", "team-b"], "team-a,team-b");
    let flags = ["--watch-namespaces=team-a,team-b,team-new"];
    let a = cluster.scope_of("team-a".into()).await;
    let b = cluster.scope_of("team-b".into()).await;
    a.declare_own();
    b.declare_own();
    let operator = cluster.operator(&flags);
    let server = cluster.token_server(&[flags[0], "--max-staleness=6s"]);
    operator.logged("Going on without").await;
    server.ready().await;
    let [own, taken] = [
        a.usable(&server, "ci", "").await,
        b.usable(&server, "ci", "").await,
    ];
    let [own, taken] = [own, taken].map(|key| Login::of(&key));

    b.kubectl(&["delete", "rolebinding", "--all"]);
    let refused = eventually(
        "the token server refuses the keys of the namespace",
        async || {
            assert_eq!(server.token_of(&own).status, 200);
            let answer = server.token_of(&taken);
            (answer.status != 200).then_some(answer)
        },
    )
    .await;
    assert_eq!(refused.status, 503, "{refused:?}");
    let (code, report) = server.process.get("/readyz").unwrap();
    assert_eq!(code, 200, "{report}");
    let restarted = cluster.token_server(&flags);
    restarted.ready().await;
    assert_eq!(restarted.token_of(&own).status, 200);
    assert_eq!(restarted.token_of(&taken).status, 401);

    cluster.create_namespace("team-new");
    install_for(&cluster, "team-a,team-b,team-new");
    let new = cluster.scope_of("team-new".into()).await;
    new.declare_own();
    new.usable(&restarted, "ci", "").await;
    for server in [&server, &restarted] {
        eventually(
            "the token server serves the keys of the namespace",
            async || (server.token_of(&taken).status == 200).then_some(()),
        )
        .await;
    }
}
