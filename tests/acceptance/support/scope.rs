//! The namespace and the organization of one test, in its own cluster or in the shared one.

use std::io::Write as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::cluster::{Cluster, run};
use super::operator::Operator;
use super::token::TokenServer;

impl Cluster {
    /// Creates a namespace, and an Organization of the same name.
    pub(crate) async fn scope(&self) -> Scope<'_> {
        let scope = self.undeclared_scope().await;
        scope.declare_own();
        scope
    }

    /// Creates a namespace without an Organization.
    pub(crate) async fn undeclared_scope(&self) -> Scope<'_> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let namespace = format!("test-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let scope = self.scope_of(namespace).await;
        scope.kubectl(&["create", "namespace", &scope.namespace]);
        scope
    }

    /// A scope for a namespace that exists already.
    pub(crate) async fn scope_of(&self, namespace: String) -> Scope<'_> {
        let kubeconfig = Kubeconfig::read_from(self.control_plane.admin_kubeconfig()).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .unwrap();
        let client = Client::try_from(config).unwrap();
        Scope {
            cluster: self,
            client,
            namespace,
        }
    }
}

/// The cluster and the operator that most tests share.
static SHARED: LazyLock<(Cluster, Mutex<Operator>)> = LazyLock::new(|| {
    let cluster = Cluster::start();
    let operator = cluster.operator(&["--leader-elect=false"]);
    (cluster, Mutex::new(operator))
});

/// The token server that most tests share. Its budgets for refusals are larger than any test needs.
static SHARED_TOKEN_SERVER: LazyLock<TokenServer> = LazyLock::new(|| {
    let generous = [
        "--source-failures-per-second=100000",
        "--failures-per-second=100000",
    ];
    SHARED.0.token_server(&generous)
});

/// A namespace, and an organization name, that no other test uses.
pub(crate) struct Scope<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

impl Scope<'static> {
    /// A scope in the shared cluster.
    pub(crate) async fn shared() -> Self {
        SHARED.0.scope().await
    }

    /// A scope in the shared cluster without its Organization.
    pub(crate) async fn shared_and_undeclared() -> Self {
        SHARED.0.undeclared_scope().await
    }

    /// The shared token server, once it is ready.
    pub(crate) async fn token_server() -> &'static TokenServer {
        SHARED_TOKEN_SERVER.ready().await;
        &SHARED_TOKEN_SERVER
    }

    /// Calls `ask` with the shared operator.
    pub(crate) fn operator<T>(ask: impl FnOnce(&Operator) -> T) -> T {
        // A test that panicked with the lock has not changed the operator.
        let operator = SHARED.1.lock().unwrap_or_else(PoisonError::into_inner);
        ask(&operator)
    }
}

impl Scope<'_> {
    /// The name of this scope's organization. It is the name of the namespace.
    pub(crate) fn org(&self) -> &str {
        &self.namespace
    }

    /// Runs kubectl as admin in the namespace. Panics if it fails.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        run(self
            .cluster
            .control_plane
            .kubectl()
            .args(["-n", &self.namespace])
            .args(arguments))
    }

    /// Waits with `kubectl wait --for`.
    pub(crate) fn wait(&self, wanted: &str, object: &str) {
        let wanted = format!("--for={wanted}");
        self.kubectl(&["wait", &wanted, object, "--timeout=60s"]);
    }

    /// Waits until an organization is ready.
    pub(crate) fn organization_ready(&self, name: &str) {
        self.wait("condition=Ready", &format!("organization/{name}"));
    }

    /// Runs kubectl as admin in the namespace. Returns `None` if it fails.
    pub(crate) fn try_kubectl(&self, arguments: &[&str]) -> Option<String> {
        let mut kubectl = self.cluster.control_plane.kubectl();
        let output = kubectl
            .args(["-n", &self.namespace])
            .args(arguments)
            .output()
            .unwrap();
        output
            .status
            .success()
            .then(|| String::from_utf8(output.stdout).unwrap())
    }

    /// Applies this YAML. Returns the error output if it is refused.
    pub(crate) fn try_apply(&self, yaml: &str) -> Result<String, String> {
        let mut kubectl = self.cluster.control_plane.kubectl();
        let mut child = kubectl
            .args(["-n", &self.namespace, "apply", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(yaml.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        if output.status.success() {
            Ok(text(output.stdout))
        } else {
            Err(text(output.stderr))
        }
    }

    /// Applies this YAML. Panics if it is refused.
    pub(crate) fn apply(&self, yaml: &str) {
        self.try_apply(yaml)
            .unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    }

    /// Declares the organization of this scope, with all namespaces allowed.
    pub(crate) fn declare_own(&self) {
        self.declare(self.org(), "{allowedNamespaces: {from: All}}");
    }

    /// Declares an organization, with the rest of its spec in YAML flow style.
    pub(crate) fn declare(&self, name: &str, spec: &str) {
        self.apply(&format!(
            "{{apiVersion: apikey-operator.dev/v1alpha1, kind: Organization, \
             metadata: {{name: {name}}}, spec: {spec}}}"
        ));
    }

    /// Applies an ApiKey of the organization of this scope, with more of its spec in YAML flow style.
    pub(crate) fn apply_key(&self, name: &str, more: &str) {
        self.apply(&self.key_yaml(name, more));
    }

    /// The YAML of [`Self::apply_key`].
    pub(crate) fn key_yaml(&self, name: &str, more: &str) -> String {
        let fields = outermost(more);
        let roles = if fields.contains("roles:") {
            ""
        } else {
            "roles: [viewer], "
        };
        let org = if fields.contains("org:") {
            String::new()
        } else {
            format!("org: {}, ", self.org())
        };
        format!(
            "{{apiVersion: apikey-operator.dev/v1alpha1, kind: ApiKey, \
             metadata: {{name: {name}}}, spec: {{{org}{roles}{more}}}}}"
        )
    }
}

/// The part of a text in YAML flow style that is outside of brackets.
fn outermost(yaml: &str) -> String {
    let mut depth = 0;
    let outside = |c: &char| {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            _ => {}
        }
        depth == 0
    };
    yaml.chars().filter(outside).collect()
}
