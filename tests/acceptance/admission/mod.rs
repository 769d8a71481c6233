//! The policies of the chart, by which the API server refuses requests.

mod expiry_warning;
mod role_grants;
mod secret_guard;

use crate::support::{Outcome, Scope, eventually, outcome};

impl Scope<'_> {
    /// kubectl in the namespace as this user, with this standard input.
    fn kubectl_as(&self, user: &str, input: &str, arguments: &[&str]) -> Outcome {
        let mut kubectl = self.cluster.control_plane.kubectl();
        kubectl.args(["--as", user, "-n", &self.namespace]);
        outcome(kubectl.args(arguments), input)
    }

    /// A user with the rights on keys of the namespace that the chart adds to `admin`.
    async fn maker(&self, name: &str) -> String {
        let user = format!("{name}-{}", self.namespace);
        for role in ["admin", "view"] {
            let (binding, role) = (format!("{name}-{role}"), format!("apikey-operator-{role}"));
            self.kubectl(&[
                "create",
                "rolebinding",
                &binding,
                "--clusterrole",
                &role,
                "--user",
                &user,
            ]);
        }
        self.may(&user, "create", "apikeys.apikey-operator.dev", "")
            .await;
        user
    }

    /// Waits until the user may do this. This creates a review, because `kubectl auth can-i`
    /// does not support resources that only RBAC knows.
    async fn may(&self, user: &str, verb: &str, resource: &str, name: &str) {
        let (resource, group) = resource.split_once('.').unwrap();
        let review = format!(
            "{{apiVersion: authorization.k8s.io/v1, kind: SubjectAccessReview, \
             spec: {{user: {user}, resourceAttributes: {{verb: {verb}, group: {group}, resource: {resource}, \
             name: '{name}', namespace: {}}}}}}}",
            self.namespace
        );
        let ask = ["create", "-f", "-", "-o", "jsonpath={.status.allowed}"];
        let mut kubectl = self.cluster.control_plane.kubectl();
        let asking = kubectl.args(ask);
        eventually(&format!("{user} may {verb} {resource} {name}"), || {
            let answer = outcome(asking, &review).done();
            async move { (answer == "true").then_some(()) }
        })
        .await;
    }
}
