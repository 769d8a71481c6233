//! Both processes have only the rights that they need, and fewer if the chart names their namespaces.

mod audit;
mod grants;
mod left_out;
mod life;
mod namespaced;
mod secrets;

use crate::support::Cluster;

/// The ServiceAccount of the controller.
const CONTROLLER: &str = "apikey-operator";
/// The ServiceAccount of the token server.
const TOKEN_SERVER: &str = "apikey-operator-token";

/// A control plane with these namespaces, and the chart installed for the `watched` ones.
fn namespaced_cluster(namespaces: &[&str], watched: &str) -> Cluster {
    named_in(Cluster::start_without_chart(), namespaces, watched)
}

fn named_in(cluster: Cluster, namespaces: &[&str], watched: &str) -> Cluster {
    for namespace in namespaces {
        cluster.create_namespace(namespace);
    }
    install_for(&cluster, watched);
    cluster
}

/// Installs or upgrades the chart for these namespaces.
fn install_for(cluster: &Cluster, watched: &str) {
    cluster.install_chart(&["--set", &format!("watchNamespaces={{{watched}}}")]);
}
