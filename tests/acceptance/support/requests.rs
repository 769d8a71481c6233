//! The API requests of the operator's processes.

use super::{Cluster, OPERATOR_NAMESPACE};

/// One request, from the API server's audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiRequest {
    pub(crate) verb: String,
    pub(crate) group: String,
    /// Resource and subresource, with a slash between them.
    pub(crate) resource: String,
    /// Empty for all namespaces and for objects without a namespace.
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) code: u64,
}

impl ApiRequest {
    /// Whether it was forbidden.
    pub(crate) fn is_refused(&self) -> bool {
        [401, 403].contains(&self.code)
    }
}

/// The requests so far of a ServiceAccount of the operator's namespace, in order.
pub(crate) fn api_requests(cluster: &Cluster, account: &str) -> Vec<ApiRequest> {
    let log = std::fs::read_to_string(cluster.control_plane.audit_log()).unwrap();
    let user = format!("system:serviceaccount:{OPERATOR_NAMESPACE}:{account}");
    log.lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|entry| entry["user"]["username"] == user.as_str())
        .map(|entry| {
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            let object = &entry["objectRef"];
            let parts = [text(&object["resource"]), text(&object["subresource"])];
            let parts = parts.iter().filter(|part| !part.is_empty());
            ApiRequest {
                verb: text(&entry["verb"]),
                group: text(&object["apiGroup"]),
                resource: parts.cloned().collect::<Vec<_>>().join("/"),
                namespace: text(&object["namespace"]),
                name: text(&object["name"]),
                code: entry["responseStatus"]["code"].as_u64().unwrap_or_default(),
            }
        })
        .collect()
}
