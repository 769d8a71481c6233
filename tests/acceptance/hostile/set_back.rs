//! A cluster whose etcd returns to an older state under a running operator.

use super::{CONTROLLER, SERVER, is_ready, refused};
use crate::support::{Cluster, Login};

#[tokio::test]
async fn after_etcd_was_set_back_both_processes_see_what_happens_then() {
    let mut cluster = Cluster::start();
    let operator = cluster.operator(&CONTROLLER);
    let server = cluster.token_server(&SERVER);
    server.ready().await;
    let scope = cluster.scope().await;
    scope.declare(scope.org(), "{allowedNamespaces: {from: All}}");
    let kept = Login::of(&scope.usable(&server, "kept", "").await);
    let namespace = scope.namespace.clone();
    drop(scope);
    cluster.control_plane.save_state().unwrap();

    let scope = cluster.scope_of(namespace.clone()).await;
    let forgotten = Login::of(&scope.usable(&server, "forgotten", "").await);
    // The following changes are not in the saved state. They raise the resource version far above the saved one.
    for n in 0..200 {
        scope.kubectl(&[
            "annotate",
            "apikey",
            "kept",
            "--overwrite",
            &format!("n={n}"),
        ]);
    }
    drop(scope);
    cluster.control_plane.set_back().unwrap();

    let scope = cluster.scope_of(namespace).await;
    refused(&server, "a key that is in no state any more", &forgotten).await;
    assert_eq!(server.token_of(&kept).status, 200);
    scope.usable(&server, "new", "").await;
    scope.kubectl(&["delete", "apikey", "kept"]);
    refused(&server, "a key that was deleted since", &kept).await;
    is_ready("the controller", &operator).await;
    is_ready("the token server", &server.process).await;
}
