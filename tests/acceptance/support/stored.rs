//! What etcd has, seen by its own client.

use super::Cluster;

/// Whether any object that is stored now has the text in clear.
pub(crate) fn is_stored(cluster: &Cluster, text: &str) -> bool {
    let mut etcdctl = cluster.control_plane.etcdctl();
    let output = etcdctl.args(["get", "--prefix", ""]).output().unwrap();
    let everything = contains(&output.stdout, "/registry/namespaces/default");
    assert!(output.status.success() && everything, "not all of etcd");
    contains(&output.stdout, text)
}

/// Whether the bytes have the text in them.
pub(crate) fn contains(bytes: &[u8], text: &str) -> bool {
    let text = text.as_bytes();
    bytes.windows(text.len()).any(|window| window == text)
}
