//! A control plane, with or without the chart.

use std::path::{Path, PathBuf};
use std::process::Command;

use apikey_api::Organization;
use controlplane::ControlPlane;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::json;

use super::operator::{OPERATOR_NAMESPACE, Operator, PROGRAM};

/// ServiceAccount of the controller.
pub(crate) const SERVICE_ACCOUNT: &str = "apikey-operator";
/// The organization of all keys.
pub(crate) const ORGANIZATION: &str = "bench";

pub(crate) struct Cluster {
    pub(crate) control_plane: ControlPlane,
    pub(crate) client: Client,
    service_account: PathBuf,
}

impl Cluster {
    /// Starts a control plane without the chart.
    pub(crate) async fn bare() -> Self {
        let control_plane = ControlPlane::builder()
            // All requests must be in one file, where they are counted.
            .apiserver_arg("--audit-log-maxsize=100000")
            .start()
            .expect("a control plane");
        let kubeconfig = Kubeconfig::read_from(control_plane.admin_kubeconfig()).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .unwrap();
        let client = Client::try_from(config).unwrap();
        Self {
            control_plane,
            client,
            service_account: PathBuf::new(),
        }
    }

    /// Starts a control plane with the chart and an organization. Starts no operator.
    pub(crate) async fn start() -> Self {
        let mut cluster = Self::bare().await;
        let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/apikey-operator");
        let mut helm = cluster.control_plane.helm();
        run(helm.args(["install", "apikey-operator"]).arg(chart).args([
            "--namespace",
            OPERATOR_NAMESPACE,
            "--create-namespace",
            "--wait",
            // The cluster has no node, so the benchmark runs the processes itself.
            "--set",
            "controller.replicas=0,tokenServer.replicas=0",
        ]));
        let kinds = ["apikeys", "organizations"].map(|k| format!("crd/{k}.apikey-operator.dev"));
        let mut kubectl = cluster.control_plane.kubectl();
        run(kubectl
            .args(["wait", "--for=condition=Established", "--timeout=30s"])
            .args(kinds));
        cluster.service_account = cluster
            .control_plane
            .service_account_kubeconfig(OPERATOR_NAMESPACE, SERVICE_ACCOUNT)
            .expect("a kubeconfig for the ServiceAccount");
        let organization: Organization = serde_json::from_value(json!({
            "apiVersion": "apikey-operator.dev/v1alpha1",
            "kind": "Organization",
            "metadata": { "name": ORGANIZATION },
            "spec": { "allowedNamespaces": { "from": "All" } },
        }))
        .unwrap();
        let organizations = Api::all(cluster.client.clone());
        organizations
            .create(&PostParams::default(), &organization)
            .await
            .unwrap();
        cluster
    }

    /// Starts a controller with these flags.
    pub(crate) fn start_operator(&self, arguments: &[&str]) -> Operator {
        Operator::start(
            &self.service_account,
            self.control_plane.logs_dir(),
            &[&[PROGRAM, "controller"], arguments].concat(),
        )
    }

    /// Starts a controller and waits until it reconciles.
    pub(crate) async fn operator(&self, arguments: &[&str]) -> Operator {
        let operator = self.start_operator(arguments);
        operator.ready().await;
        let organization = format!("organization/{ORGANIZATION}");
        let mut kubectl = self.control_plane.kubectl();
        run(kubectl.args([
            "wait",
            "--for=condition=Ready",
            "--timeout=30s",
            &organization,
        ]));
        operator
    }

    pub(crate) fn namespace(&self, name: &str) {
        run(self
            .control_plane
            .kubectl()
            .args(["create", "namespace", name]));
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
}
