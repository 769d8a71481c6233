//! Reads what etcd stores, with etcd's own client.

use super::Cluster;

/// Whether a stored object contains the text in clear.
pub(crate) fn is_stored(cluster: &Cluster, text: &str) -> bool {
    let mut etcdctl = cluster.control_plane.etcdctl();
    let output = etcdctl.args(["get", "--prefix", ""]).output().unwrap();
    let everything = contains(&output.stdout, "/registry/namespaces/default");
    assert!(output.status.success() && everything, "not all of etcd");
    contains(&output.stdout, text)
}

/// Whether the bytes contain the text.
pub(crate) fn contains(bytes: &[u8], text: &str) -> bool {
    let text = text.as_bytes();
    bytes.windows(text.len()).any(|window| window == text)
}
