//! Changed labels of credential records, by which token servers find them.

use apikey_api::names;
use serde_json::json;

use crate::support::{Credential, OPERATOR_NAMESPACE, Scope, eventually};

/// A policy that changes `managed-by` of every credential record of this namespace's keys, like a policy for
/// cost centres or for a tool that owns all objects.
fn relabels(namespace: &str) -> String {
    let group = "admissionregistration.k8s.io/v1";
    let expression = format!(
        "has(object.metadata.annotations) && '{}' in object.metadata.annotations && \
         object.metadata.annotations['{}'].startsWith('{namespace}/')",
        names::ANNOTATION_OWNER,
        names::ANNOTATION_OWNER
    );
    let path = "/metadata/labels/app.kubernetes.io~1managed-by";
    let policy = json!({
        "apiVersion": group, "kind": "MutatingAdmissionPolicy", "metadata": {"name": namespace},
        "spec": {
            "reinvocationPolicy": "Never",
            "matchConstraints": {"resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                "resources": ["secrets"],
            }]},
            "matchConditions": [{"name": "credential-records", "expression": expression}],
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": format!(
                "[JSONPatch{{op: 'replace', path: '{path}', value: 'somebody'}}]"
            )}}],
        },
    });
    let binding = json!({
        "apiVersion": group, "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": namespace},
        "spec": {"policyName": namespace},
    });
    format!("{policy}\n---\n{binding}")
}

async fn is_good(credential: &Credential) {
    Scope::token_server().await.token_for(credential).await;
}

#[tokio::test]
async fn a_policy_that_relabels_records_is_named_in_the_status_until_it_is_gone() {
    let scope = Scope::shared().await;
    let name = scope.namespace.clone();
    scope.apply(&relabels(&name));
    let probe = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {
            "name": format!("probe-{name}"), "namespace": OPERATOR_NAMESPACE,
            "labels": {names::LABEL_MANAGED_BY: "x"},
            "annotations": {names::ANNOTATION_OWNER: format!("{name}/x")},
        },
    });
    eventually("the policy is in force", async || {
        let file = scope
            .cluster
            .control_plane
            .dir()
            .join(format!("{name}.json"));
        std::fs::write(&file, probe.to_string()).unwrap();
        let kubectl = ["create", "--dry-run=server", "-o", "json", "-f"];
        let mut kubectl = kubectl.to_vec();
        kubectl.extend(["--namespace", OPERATOR_NAMESPACE]);
        kubectl.insert(5, file.to_str().unwrap());
        let mut command = scope.cluster.control_plane.kubectl();
        let output = command.args(&kubectl).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.contains("somebody").then_some(())
    })
    .await;
    scope.apply_key("ci", "");
    let message = scope.refused("ci", "ProgressingWithRetry").await;
    assert!(message.contains("changes its labels"), "{message}");
    for kind in ["mutatingadmissionpolicybinding", "mutatingadmissionpolicy"] {
        scope.kubectl(&["delete", kind, &name]);
    }
    let key = scope.ready("ci").await;
    let credential = scope.credential(&key).await;
    credential.assert_sound();
    is_good(&credential).await;
}

#[tokio::test]
async fn labels_of_a_record_that_somebody_changes_are_put_back() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let credential = scope.usable(server, "ci", "").await;
    let uid = scope.ready("ci").await.metadata.uid.unwrap();
    let record = names::record_secret(&uid);
    let label = format!("{}=somebody", names::LABEL_MANAGED_BY);
    let mut kubectl = scope.cluster.control_plane.kubectl();
    let namespace = ["--namespace", OPERATOR_NAMESPACE];
    let relabel = ["label", "--overwrite", "secret", &record, &label];
    assert!(
        kubectl
            .args(namespace)
            .args(relabel)
            .status()
            .unwrap()
            .success()
    );
    eventually("the operator restores the label", async || {
        let stored = scope.operator_secrets().get(&record).await.unwrap();
        let labels = stored.metadata.labels.unwrap_or_default();
        (labels.get(names::LABEL_MANAGED_BY)? == names::MANAGED_BY).then_some(())
    })
    .await;
    is_good(&credential).await;
}
