//! The rights of both accounts for Secrets, as the API server reports them.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt as _};

use super::{CONTROLLER, TOKEN_SERVER, namespaced_cluster};
use crate::support::{Cluster, OPERATOR_NAMESPACE, Scope};

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

/// The answer of `kubectl auth can-i VERB secrets -n NAMESPACE --as ACCOUNT`.
async fn may(scope: &Scope<'_>, account: &str, verb: &str, namespace: &str) -> bool {
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(format!(
                "system:serviceaccount:{OPERATOR_NAMESPACE}:{account}"
            )),
            groups: Some(vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{OPERATOR_NAMESPACE}"),
                "system:authenticated".to_owned(),
            ]),
            resource_attributes: Some(ResourceAttributes {
                namespace: Some(namespace.to_owned()),
                verb: Some(verb.to_owned()),
                resource: Some("secrets".to_owned()),
                version: Some("v1".to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let reviews = Api::<SubjectAccessReview>::all(scope.client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await;
    answer.unwrap().status.unwrap().allowed
}

/// The namespaces in which the account may do anything with Secrets. "" stands for all of them.
async fn with_secrets(scope: &Scope<'_>, account: &str) -> Vec<String> {
    let namespaces = Api::<Namespace>::all(scope.client.clone());
    let namespaces = namespaces.list(&ListParams::default()).await.unwrap();
    let mut names: Vec<_> = namespaces.iter().map(Namespace::name_any).collect();
    names.insert(0, String::new());
    let mut found = Vec::new();
    for name in names {
        for verb in VERBS {
            if may(scope, account, verb, &name).await {
                found.push(name);
                break;
            }
        }
    }
    found
}

#[tokio::test]
async fn the_token_server_may_touch_no_secret_outside_its_namespace() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let ours = [OPERATOR_NAMESPACE.to_owned()];
    assert_eq!(with_secrets(&scope, TOKEN_SERVER).await, ours);
    let everywhere = with_secrets(&scope, CONTROLLER).await;
    assert!(
        everywhere.contains(&scope.namespace) && everywhere.contains(&String::new()),
        "the check does not find the rights of the controller: {everywhere:?}"
    );
}

#[tokio::test]
async fn where_namespaces_are_named_the_controller_may_touch_no_secret_outside_them_and_its_own() {
    let cluster = namespaced_cluster(&["team-a", "team-b", "team-c"], "team-a,team-b");
    let scope = cluster.scope_of("team-c".into()).await;
    let controller = [OPERATOR_NAMESPACE, "team-a", "team-b"];
    assert_eq!(with_secrets(&scope, CONTROLLER).await, controller);
    assert_eq!(
        with_secrets(&scope, TOKEN_SERVER).await,
        [OPERATOR_NAMESPACE]
    );
}
