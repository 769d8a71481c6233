//! The rights that RBAC objects grant a ServiceAccount.

use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use crate::support::{ApiRequest, OPERATOR_NAMESPACE};

/// One verb on one resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Grant {
    pub(super) verb: String,
    pub(super) group: String,
    /// Resource and subresource, with a slash between them.
    pub(super) resource: String,
    /// The name of the one object; `None`: all objects.
    pub(super) name: Option<String>,
    /// The namespace; `None`: the whole cluster.
    pub(super) namespace: Option<String>,
}

impl Grant {
    fn is_for_all_that(&self, other: &Self) -> bool {
        (&self.verb, &self.group, &self.resource) == (&other.verb, &other.group, &other.resource)
    }

    /// Whether the request needed this grant. A request in a namespace with its own grant needed that one.
    pub(super) fn was_used_by(&self, request: &ApiRequest, all: &[Self]) -> bool {
        let here = request.namespace.as_str();
        let place = match &self.namespace {
            Some(namespace) => namespace == here,
            None => !all.iter().any(|other| {
                other.is_for_all_that(self) && other.namespace.as_deref() == Some(here)
            }),
        };
        let name = self.name.as_ref().is_none_or(|name| *name == request.name);
        let kind = (&self.verb, &self.group, &self.resource)
            == (&request.verb, &request.group, &request.resource);
        kind && place && name && !request.is_refused()
    }
}

/// All grants that name this ServiceAccount of the operator's namespace.
pub(super) async fn granted(client: &Client, account: &str) -> Vec<Grant> {
    let ours = |subjects: &Option<Vec<Subject>>| {
        subjects.iter().flatten().any(|subject| {
            subject.kind == "ServiceAccount"
                && subject.name == account
                && subject.namespace.as_deref() == Some(OPERATOR_NAMESPACE)
        })
    };
    let all = ListParams::default();
    let mut grants = Vec::new();
    let bindings = Api::<ClusterRoleBinding>::all(client.clone());
    for binding in bindings.list(&all).await.unwrap() {
        if ours(&binding.subjects) {
            let rules = rules(client, &binding.role_ref, "").await;
            grants.extend(expand(&rules, None));
        }
    }
    let bindings = Api::<RoleBinding>::all(client.clone());
    for binding in bindings.list(&all).await.unwrap() {
        if ours(&binding.subjects) {
            let namespace = binding.namespace().unwrap();
            let rules = rules(client, &binding.role_ref, &namespace).await;
            grants.extend(expand(&rules, Some(&namespace)));
        }
    }
    grants.sort();
    grants.dedup();
    grants
}

async fn rules(client: &Client, role: &RoleRef, namespace: &str) -> Vec<PolicyRule> {
    let rules = if role.kind == "ClusterRole" {
        let roles = Api::<ClusterRole>::all(client.clone());
        roles.get(&role.name).await.unwrap().rules
    } else {
        let roles = Api::<Role>::namespaced(client.clone(), namespace);
        roles.get(&role.name).await.unwrap().rules
    };
    rules.unwrap()
}

fn expand(rules: &[PolicyRule], namespace: Option<&str>) -> Vec<Grant> {
    let mut grants = Vec::new();
    for rule in rules {
        assert!(rule.non_resource_urls.is_none(), "{rule:?}");
        let names = rule.resource_names.clone().unwrap_or_default();
        let names: Vec<_> = if names.is_empty() {
            vec![None]
        } else {
            names.into_iter().map(Some).collect()
        };
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for verb in &rule.verbs {
                    for part in [group, resource, verb] {
                        assert!(!part.contains('*'), "a wildcard: {rule:?}");
                    }
                    grants.extend(names.iter().map(|name| Grant {
                        verb: verb.clone(),
                        group: group.clone(),
                        resource: resource.clone(),
                        name: name.clone(),
                        namespace: namespace.map(str::to_owned),
                    }));
                }
            }
        }
    }
    grants
}
