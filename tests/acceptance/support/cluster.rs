//! A control plane with the chart installed, and the processes of the operator.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use controlplane::{Builder, ControlPlane};

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
}

/// Runs a command and returns its output; panics with both outputs if it fails.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stdout}{stderr}");
    stdout
}
