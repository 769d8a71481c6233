//! The flags of the three servers.
//!
//! etcd listens on Unix sockets in the private folder, so it needs no port and nobody else can
//! talk to it; the controller manager listens nowhere. The only port is the apiserver's.

use crate::binaries::Binaries;
use crate::credentials::Credentials;
use crate::error::Result;
use crate::folder::Folder;
use crate::guard::Component;
use crate::kubeconfig::write_private;

pub(crate) const ETCD: &str = "etcd";
pub(crate) const APISERVER: &str = "kube-apiserver";
pub(crate) const CONTROLLER_MANAGER: &str = "kube-controller-manager";

/// The controllers that a cluster without nodes needs: those that maintain the API, the type check of admission
/// policies, and the workload controllers that create the Pods of a Deployment. With all controllers the start
/// takes half a second longer.
pub(crate) const CONTROLLERS: &[&str] = &[
    "clusterrole-aggregation-controller",
    "deployment-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "replicaset-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "validatingadmissionpolicy-status-controller",
];

const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
";

/// The processor limits the start, so Go collects garbage less often than by default.
const GO_ENV: &[(&str, &str)] = &[("GOGC", "400")];

/// The address on which etcd listens for clients.
pub(crate) fn etcd_url(folder: &Folder) -> String {
    format!("unix://{}", folder.file("client.sock").display())
}

/// Everything that the start of the servers needs.
pub(crate) struct Site<'a> {
    pub(crate) binaries: &'a Binaries,
    pub(crate) folder: &'a Folder,
    pub(crate) credentials: &'a Credentials,
}

impl Site<'_> {
    pub(crate) fn etcd(&self) -> Result<Component> {
        let clients = etcd_url(self.folder);
        let peers = format!("unix://{}", self.folder.file("peer.sock").display());
        let args = [
            "--name=controlplane".to_owned(),
            format!("--data-dir={}", self.folder.file("etcd").display()),
            format!("--listen-client-urls={clients}"),
            format!("--advertise-client-urls={clients}"),
            format!("--listen-peer-urls={peers}"),
            format!("--initial-advertise-peer-urls={peers}"),
            format!("--initial-cluster=controlplane={peers}"),
            // A lone member elects itself after this long.
            "--heartbeat-interval=10".to_owned(),
            "--election-timeout=100".to_owned(),
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
        ];
        self.spawn(ETCD, &args)
    }

    pub(crate) fn apiserver(&self, port: u16, extra: &[String]) -> Result<Component> {
        let policy = self.folder.file("audit-policy.yaml");
        write_private(&policy, AUDIT_POLICY)?;
        let credentials = self.credentials;
        let mut args = vec![
            format!("--etcd-servers={}", etcd_url(self.folder)),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            format!("--secure-port={port}"),
            format!(
                "--tls-cert-file={}",
                credentials.server_certificate.display()
            ),
            format!(
                "--tls-private-key-file={}",
                credentials.server_key.display()
            ),
            format!("--token-auth-file={}", credentials.tokens.display()),
            "--authorization-mode=RBAC".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!(
                "--service-account-signing-key-file={}",
                credentials.service_account_key.display()
            ),
            format!(
                "--service-account-key-file={}",
                credentials.service_account_public_key.display()
            ),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            "--allow-privileged".to_owned(),
            format!("--audit-policy-file={}", policy.display()),
            format!(
                "--audit-log-path={}",
                self.folder.logs().join("audit.log").display()
            ),
            "--profiling=false".to_owned(),
        ];
        args.extend_from_slice(extra);
        self.spawn(APISERVER, &args)
    }

    pub(crate) fn controller_manager(
        &self,
        kubeconfig: &str,
        controllers: &str,
        extra: &[String],
    ) -> Result<Component> {
        let file = self.folder.file("controller-manager.kubeconfig");
        write_private(&file, kubeconfig)?;
        let mut args = vec![
            format!("--kubeconfig={}", file.display()),
            format!("--controllers={controllers}"),
            "--use-service-account-credentials".to_owned(),
            format!(
                "--service-account-private-key-file={}",
                self.credentials.service_account_key.display()
            ),
            format!("--root-ca-file={}", self.credentials.ca_file.display()),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            // With the default of 20 requests a second, the controllers' own accounts would take seconds.
            "--kube-api-qps=1000".to_owned(),
            "--kube-api-burst=2000".to_owned(),
            "--profiling=false".to_owned(),
        ];
        args.extend_from_slice(extra);
        self.spawn(CONTROLLER_MANAGER, &args)
    }

    fn spawn(&self, name: &'static str, args: &[String]) -> Result<Component> {
        Component::spawn(name, &self.binaries.path(name), args, GO_ENV, self.folder)
    }
}
