//! Obstacles to Secrets in one namespace.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::webhook::Webhook;
use crate::support::{Authority, Scope, eventually, free_address};

/// A cause why the API server refuses Secrets.
#[derive(Clone, Copy, Debug)]
pub(super) enum Obstacle {
    /// A `ValidatingAdmissionPolicy` that denies with this reason.
    Policy(&'static str),
    /// An admission webhook that denies with this code, or never answers.
    Webhook(Option<u16>),
    /// An admission webhook without a server.
    Down,
    /// A `ResourceQuota` that allows no Secret.
    Quota,
}

/// An obstacle that is in effect.
pub(super) struct Set<'a> {
    scope: &'a Scope<'a>,
    obstacle: Obstacle,
    /// The kinds of its objects. All have the name of the namespace.
    kinds: &'static [&'static str],
    _webhook: Option<Webhook>,
}

impl Obstacle {
    /// Whether it refuses changes of an existing Secret.
    pub(super) fn hinders_changes(self) -> bool {
        match self {
            Self::Policy(_) | Self::Webhook(_) | Self::Down => true,
            Self::Quota => false,
        }
    }

    /// The text that the status of a key must have.
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::Policy(_) => "denied request: not today",
            Self::Webhook(Some(_)) => "denied the request: not today",
            Self::Webhook(None) | Self::Down => "failed calling webhook",
            Self::Quota => "exceeded quota",
        }
    }

    /// Creates it, and waits until it is in effect.
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
                // The quota controller of Kubernetes does this, and does not run here.
                let counted = r#"{"status": {"hard": {"secrets": "0"}, "used": {"secrets": "0"}}}"#;
                let status = ["--subresource=status", "--type=merge", "--patch", counted];
                scope.kubectl(&[&["patch", "resourcequota", name][..], &status].concat());
                &["resourcequota"]
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
    /// Removes it, and waits until it is no longer in effect.
    pub(super) async fn remove(self) {
        for kind in self.kinds {
            self.scope.kubectl(&["delete", kind, &self.scope.namespace]);
        }
        self.holds(false).await;
    }

    /// Waits until the obstacle is in effect, or until it no longer is.
    async fn holds(&self, wanted: bool) {
        let name = format!("probe-{wanted}");
        let mut create = vec!["create", "secret", "generic", &name];
        // A quota does not apply to dry runs.
        let stored = matches!(self.obstacle, Obstacle::Quota);
        create.extend((!stored).then_some("--dry-run=server"));
        eventually(
            &format!("{:?} holds: {wanted}", self.obstacle),
            async || {
                let refused = self.scope.try_kubectl(&create).is_none();
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

const RULE: &str =
    "{apiGroups: [''], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [secrets]}";

fn within(namespace: &str) -> String {
    format!("{{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}}}")
}
