//! What stands in the way of Secrets in one namespace.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::webhook::Webhook;
use crate::support::{Authority, Scope, eventually, free_address};

/// What refuses Secrets.
#[derive(Clone, Copy, Debug)]
pub(super) enum Obstacle {
    /// A `ValidatingAdmissionPolicy` that denies with this reason.
    Policy(&'static str),
    /// An admission webhook that denies with this code, or never answers.
    Webhook(Option<u16>),
    /// An admission webhook that is not there.
    Down,
    /// A `ResourceQuota` of no Secret.
    Quota,
    /// API Priority and Fairness that gives the operator no place.
    Throttled,
}

/// An obstacle in its place.
pub(super) struct Set<'a> {
    scope: &'a Scope<'a>,
    obstacle: Obstacle,
    /// Kinds of the objects that make it up; all have the name of the namespace.
    kinds: &'static [&'static str],
    _webhook: Option<Webhook>,
}

impl Obstacle {
    /// Whether it refuses changes of a Secret that is there.
    pub(super) fn hinders_changes(self) -> bool {
        match self {
            Self::Policy(_) | Self::Webhook(_) | Self::Down | Self::Throttled => true,
            Self::Quota => false,
        }
    }

    /// Puts it in the way, and waits until it holds.
    pub(super) async fn set<'a>(self, scope: &'a Scope<'a>) -> Set<'a> {
        let mut webhook = None;
        let kinds: &[&str] = match self {
            Self::Policy(reason) => {
                scope.apply(&policy(&scope.namespace, reason));
                &[
                    "validatingadmissionpolicy",
                    "validatingadmissionpolicybinding",
                ]
            }
            Self::Webhook(code) => {
                let authority = Authority::new();
                let server = Webhook::start(&authority.server(), code);
                scope.apply(&configuration(
                    &scope.namespace,
                    server.address(),
                    &authority,
                ));
                webhook = Some(server);
                &["validatingwebhookconfiguration"]
            }
            Self::Down => {
                let nobody = free_address();
                scope.apply(&configuration(&scope.namespace, nobody, &Authority::new()));
                &["validatingwebhookconfiguration"]
            }
            Self::Quota => {
                let name = &scope.namespace;
                scope.kubectl(&["create", "quota", name, "--hard=secrets=0"]);
                // As the controller for quotas of Kubernetes does, which does not run here.
                let counted = r#"{"status": {"hard": {"secrets": "0"}, "used": {"secrets": "0"}}}"#;
                let status = ["--subresource=status", "--type=merge", "--patch", counted];
                scope.kubectl(&[&["patch", "resourcequota", name][..], &status].concat());
                &["resourcequota"]
            }
            Self::Throttled => {
                scope.apply(&no_place(&scope.namespace));
                &["flowschema", "prioritylevelconfiguration"]
            }
        };
        let set = Set {
            scope,
            obstacle: self,
            kinds,
            _webhook: webhook,
        };
        set.holds(true).await;
        set
    }
}

impl Set<'_> {
    /// Takes it away, and waits until it is gone.
    pub(super) async fn remove(self) {
        for kind in self.kinds {
            self.scope.kubectl(&["delete", kind, &self.scope.namespace]);
        }
        self.holds(false).await;
    }

    /// Waits until the obstacle holds, or no longer does, by a Secret that is not stored.
    async fn holds(&self, wanted: bool) {
        let (scope, name) = (self.scope, format!("probe-{wanted}"));
        let stored = matches!(self.obstacle, Obstacle::Quota);
        let mut create = vec!["create", "secret", "generic", &name];
        create.extend((!stored).then_some("--dry-run=server"));
        let account = scope.cluster.service_account().to_str().unwrap();
        let as_operator = ["--kubeconfig", account, "--v=0"];
        let is_throttled = matches!(self.obstacle, Obstacle::Throttled);
        create.extend(as_operator.iter().filter(|_| is_throttled));
        eventually(
            &format!("{:?} holds: {wanted}", self.obstacle),
            async || {
                let mut kubectl = scope.cluster.control_plane.kubectl();
                let namespace = ["--namespace", &scope.namespace];
                let output = kubectl.args(namespace).args(&create).output().unwrap();
                let error = String::from_utf8_lossy(&output.stderr);
                let refused = match self.obstacle {
                    Obstacle::Throttled => error.contains("too many requests"),
                    Obstacle::Policy(_)
                    | Obstacle::Webhook(_)
                    | Obstacle::Down
                    | Obstacle::Quota => !output.status.success(),
                };
                (refused == wanted).then_some(())
            },
        )
        .await;
    }
}

fn policy(namespace: &str, reason: &str) -> String {
    let group = "admissionregistration.k8s.io/v1";
    format!(
        "{{apiVersion: {group}, kind: ValidatingAdmissionPolicy, metadata: {{name: {namespace}}}, spec: {{\
         matchConstraints: {{resourceRules: [{RULE}]}}, \
         validations: [{{expression: 'false', message: not today, reason: {reason}}}]}}}}\n---\n\
         {{apiVersion: {group}, kind: ValidatingAdmissionPolicyBinding, metadata: {{name: {namespace}}}, \
         spec: {{policyName: {namespace}, validationActions: [Deny], matchResources: {}}}}}",
        within(namespace)
    )
}

fn configuration(namespace: &str, address: SocketAddr, authority: &Authority) -> String {
    let group = "admissionregistration.k8s.io/v1";
    let bundle = BASE64.encode(authority.pem());
    let selector = within(namespace);
    let selector = selector.trim_start_matches('{').trim_end_matches('}');
    format!(
        "{{apiVersion: {group}, kind: ValidatingWebhookConfiguration, metadata: {{name: {namespace}}}, \
         webhooks: [{{name: not.today.example.com, sideEffects: None, timeoutSeconds: 1, \
         admissionReviewVersions: [v1], rules: [{RULE}], {selector}}}}}, \
         clientConfig: {{url: 'https://{address}/', caBundle: {bundle}}}}}]}}"
    )
}

fn no_place(namespace: &str) -> String {
    let group = "flowcontrol.apiserver.k8s.io/v1";
    format!(
        "{{apiVersion: {group}, kind: PriorityLevelConfiguration, metadata: {{name: {namespace}}}, spec: {{\
         type: Limited, limited: {{nominalConcurrencyShares: 0, limitResponse: {{type: Reject}}}}}}}}\n---\n\
         {{apiVersion: {group}, kind: FlowSchema, metadata: {{name: {namespace}}}, spec: {{\
         matchingPrecedence: 2, priorityLevelConfiguration: {{name: {namespace}}}, rules: [{{\
         subjects: [{{kind: ServiceAccount, serviceAccount: {{name: apikey-operator, \
         namespace: apikey-operator}}}}], resourceRules: [{{verbs: [create, patch], apiGroups: [''], \
         resources: [secrets], namespaces: [{namespace}]}}]}}]}}}}"
    )
}

const RULE: &str =
    "{apiGroups: [''], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [secrets]}";

fn within(namespace: &str) -> String {
    format!("{{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}}}")
}
