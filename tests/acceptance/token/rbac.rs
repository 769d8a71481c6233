//! The token server can't read what it does not need, and never tries to.

use crate::support::{Cluster, OPERATOR_NAMESPACE, Scope, api_requests};

const ACCOUNT: &str = "apikey-operator-token";
const VERBS: [&str; 8] = [
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
];

/// Whether the token server may do this.
fn may(cluster: &Cluster, namespace: &str, verb: &str, resource: &str) -> bool {
    let account = format!("--as=system:serviceaccount:{OPERATOR_NAMESPACE}:{ACCOUNT}");
    let mut kubectl = cluster.control_plane.kubectl();
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let subresource = format!("--subresource={subresource}");
    kubectl.args(["auth", "can-i", verb, resource, &subresource, &account]);
    let output = kubectl.args(["-n", namespace]).output().unwrap();
    let answer = String::from_utf8(output.stdout).unwrap();
    match answer.trim() {
        "yes" => true,
        "no" => false,
        _ => panic!("{answer}{}", String::from_utf8_lossy(&output.stderr)),
    }
}

#[tokio::test]
async fn the_token_server_may_do_what_it_does_and_nothing_else() {
    let scope = Scope::shared().await;
    let ours = OPERATOR_NAMESPACE;
    for (namespace, resource, allowed) in [
        (scope.namespace.as_str(), "secrets", &[][..]),
        (
            &scope.namespace,
            "apikeys.apikey-operator.dev",
            &["list", "watch"],
        ),
        (
            &scope.namespace,
            "apikeys.apikey-operator.dev/status",
            &["patch"],
        ),
        (
            &scope.namespace,
            "organizations.apikey-operator.dev",
            &["list", "watch"],
        ),
        (
            &scope.namespace,
            "organizations.apikey-operator.dev/status",
            &[],
        ),
        (&scope.namespace, "namespaces", &["list", "watch"]),
        (&scope.namespace, "events.events.k8s.io", &[]),
        (ours, "secrets", &["list", "watch"]),
        (ours, "leases.coordination.k8s.io", &[]),
        (ours, "serviceaccounts/token", &[]),
        (ours, "pods", &[]),
    ] {
        for verb in VERBS {
            let may = may(scope.cluster, namespace, verb, resource);
            assert_eq!(
                may,
                allowed.contains(&verb),
                "{verb} {resource} in {namespace}"
            );
        }
    }
}

#[tokio::test]
async fn nothing_that_the_token_server_asked_for_was_refused() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    scope.apply_key("ci", "");
    let credential = scope.credential(&scope.ready("ci").await).await;
    server.token_for(&credential).await;
    let used = |key: &apikey_api::ApiKey| {
        let status = key.status.as_ref();
        status.is_some_and(|status| status.last_used_at.is_some())
    };
    scope.key("ci", "recorded as used", used).await;
    let requests = api_requests(scope.cluster, ACCOUNT);
    let kinds = [
        "apikeys",
        "namespaces",
        "organizations",
        "secrets",
        "apikeys/status",
    ];
    for kind in kinds {
        assert!(requests.iter().any(|r| r.resource == kind), "no {kind}");
    }
    let refused: Vec<_> = requests.iter().filter(|r| r.is_refused()).collect();
    assert!(refused.is_empty(), "{refused:?}");
}
