//! A control plane with the chart installed, and scopes of tests in it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use controlplane::{Builder, ControlPlane};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::operator::{Arguments, CHEAP, Operator};
use super::token::{TokenServer, free_address};

/// Namespace that the chart is installed into.
pub(crate) const OPERATOR_NAMESPACE: &str = "apikey-operator";
/// The cluster has no node, so the tests run the processes themselves.
const NO_PODS: &str = "controller.replicas=0,tokenServer.replicas=0";
const SERVICE_ACCOUNT: &str = "apikey-operator";
const TOKEN_SERVICE_ACCOUNT: &str = "apikey-operator-token";

pub(crate) struct Cluster {
    pub(crate) control_plane: ControlPlane,
    /// A copy of the chart from the start of the cluster. If somebody edited a definition during the tests,
    /// the next upgrade would end all watches of its objects with 410.
    chart: std::path::PathBuf,
    service_account: std::path::PathBuf,
    token_service_account: std::path::PathBuf,
}

impl Cluster {
    /// Starts a control plane and installs the chart. Starts no operator.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Like [`Self::start`], with more options for helm.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        let cluster = Self::start_without_chart();
        cluster.install_chart(options);
        cluster
    }

    /// Starts a control plane with the operator's ServiceAccount and without its CRDs.
    pub(crate) fn start_without_crds() -> Self {
        Self::start_with(&["--set", "crds.enabled=false"])
    }

    /// Starts a control plane without the chart.
    pub(crate) fn start_without_chart() -> Self {
        Self::of(ControlPlane::builder())
    }

    /// Starts a control plane without the chart. Its API server sends lists in pages and not as streams
    /// (KEP-3157), like those before Kubernetes 1.34.
    pub(crate) fn start_with_pages_and_without_chart() -> Self {
        Self::of(ControlPlane::builder().apiserver_arg("--feature-gates=WatchList=false"))
    }

    /// Like [`Self::start_with_pages_and_without_chart`], with the chart installed.
    pub(crate) fn start_with_pages() -> Self {
        let cluster = Self::start_with_pages_and_without_chart();
        cluster.install_chart(&[]);
        cluster
    }

    fn of(control_plane: Builder) -> Self {
        let control_plane = control_plane.start().expect("a control plane");
        let chart = control_plane.dir().join("chart");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/apikey-operator");
        run(Command::new("cp").arg("-R").arg(source).arg(&chart));
        Self {
            chart,
            service_account: control_plane.dir().join("operator.kubeconfig"),
            token_service_account: control_plane.dir().join("token.kubeconfig"),
            control_plane,
        }
    }

    /// Installs or upgrades the chart with the real helm, and writes the kubeconfig of its
    /// ServiceAccount.
    pub(crate) fn install_chart(&self, more: &[&str]) {
        run(self
            .control_plane
            .helm()
            .args(["upgrade", "--install", "--reset-values", "apikey-operator"])
            .arg(&self.chart)
            .args([
                "--namespace",
                OPERATOR_NAMESPACE,
                "--create-namespace",
                "--wait",
                "--set",
                NO_PODS,
            ])
            .args(more));
        if !more.contains(&"crds.enabled=false") {
            let mut kubectl = self.control_plane.kubectl();
            let kinds =
                ["apikeys", "organizations"].map(|k| format!("crd/{k}.apikey-operator.dev"));
            run(kubectl
                .args(["wait", "--for=condition=Established", "--timeout=30s"])
                .args(kinds));
        }
        for (account, path) in [
            (SERVICE_ACCOUNT, &self.service_account),
            (TOKEN_SERVICE_ACCOUNT, &self.token_service_account),
        ] {
            let kubeconfig = self
                .control_plane
                .service_account_kubeconfig(OPERATOR_NAMESPACE, account)
                .expect("a kubeconfig for the ServiceAccount");
            std::fs::copy(kubeconfig, path).unwrap();
        }
    }

    /// Creates a namespace.
    pub(crate) fn create_namespace(&self, name: &str) {
        let mut kubectl = self.control_plane.kubectl();
        run(kubectl.args(["create", "namespace", name]));
    }

    /// The kubeconfig of the operator's ServiceAccount.
    pub(crate) fn service_account(&self) -> &Path {
        &self.service_account
    }

    /// The kubeconfig of the token server's ServiceAccount.
    pub(crate) fn token_service_account(&self) -> &Path {
        &self.token_service_account
    }

    /// Starts an operator with these flags and the least hashing cost.
    pub(crate) fn operator(&self, arguments: &[&str]) -> Operator {
        self.operator_at_full_cost(&[arguments, &CHEAP].concat())
    }

    /// Starts an operator with these flags and the default hashing cost.
    pub(crate) fn operator_at_full_cost(&self, arguments: &[&str]) -> Operator {
        self.operator_in(&[], arguments)
    }

    /// Starts an operator with this `KUBECONFIG`.
    pub(crate) fn operator_of(&self, kubeconfig: &Path, arguments: &[&str]) -> Operator {
        let more = [arguments, &CHEAP].concat();
        let logs = self.control_plane.logs_dir();
        Operator::start(kubeconfig, logs, Arguments::of("controller", &more))
    }

    /// Starts an operator with these environment variables and flags.
    pub(crate) fn operator_in(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Operator {
        self.start_controller(Arguments {
            environment,
            ..Arguments::of("controller", arguments)
        })
    }

    /// Starts an operator with the least hashing cost that writes its standard output to this file.
    pub(crate) fn operator_writing_to(&self, output: &Path) -> Operator {
        self.start_controller(Arguments {
            output: Some(output),
            ..Arguments::of("controller", &CHEAP)
        })
    }

    fn start_controller(&self, arguments: Arguments<'_>) -> Operator {
        let logs = self.control_plane.logs_dir();
        Operator::start(&self.service_account, logs, arguments)
    }

    /// Starts a token server with these flags, under a ServiceAccount of its own.
    pub(crate) fn token_server(&self, arguments: &[&str]) -> TokenServer {
        self.token_server_at(free_address(), arguments)
    }

    /// Starts a token server with these flags at this address.
    pub(crate) fn token_server_at(&self, address: SocketAddr, arguments: &[&str]) -> TokenServer {
        let logs = self.control_plane.logs_dir();
        let account = &self.token_service_account;
        let arguments = Arguments::of("token-server", arguments);
        TokenServer::start(address, account, logs, arguments)
    }

    /// Starts a token server with more environment variables.
    pub(crate) fn token_server_in(&self, environment: &[(&str, &str)]) -> TokenServer {
        let logs = self.control_plane.logs_dir();
        let arguments = Arguments {
            environment,
            ..Arguments::of("token-server", &[])
        };
        TokenServer::start(free_address(), &self.token_service_account, logs, arguments)
    }

    /// Starts controller and token server in one process with these flags, as administrator. No
    /// ServiceAccount of the chart has the rights of both.
    pub(crate) fn both(&self, arguments: &[&str]) -> TokenServer {
        let (admin, logs) = (
            self.control_plane.admin_kubeconfig(),
            self.control_plane.logs_dir(),
        );
        let arguments = Arguments::of("run", arguments);
        TokenServer::start(free_address(), admin, logs, arguments)
    }

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

/// What of a text in YAML flow style is in no bracket.
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

/// Runs a command and returns its output; fails with both outputs if it fails.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stdout}{stderr}");
    stdout
}
