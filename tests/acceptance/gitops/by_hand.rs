//! Changes by hand while Flux keeps the object as it is in Git. Flux takes the fields of managers whose names begin
//! with `kubectl`, and applies. `hack/flux.sh` runs the real Flux.

use serde_json::{Map, Value, json};

use crate::support::{Scope, run};

const FLUX: &str = "kustomize-controller";
const REQUEST: &str = "apikey-operator.dev/rotate-requested-at";
const DISCARD: &str = "apikey-operator.dev/discard-previous";
/// The number of attempts. Flux also tries again if an object changed meanwhile.
const ATTEMPTS: usize = 10;

/// A key in Git and in the cluster.
struct Declared<'a> {
    scope: &'a Scope<'a>,
    name: &'a str,
    /// Its file.
    file: tempfile::TempPath,
}

/// Creates an Organization, and a key of it in Git that Flux has applied.
fn declared<'a>(scope: &'a Scope<'a>, name: &'a str) -> Declared<'a> {
    scope.declare(
        scope.org(),
        "{allowedNamespaces: {from: All}, roles: [{key: viewer}, {key: builder}]}",
    );
    let file = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    let document = json!({
        "apiVersion": "apikey-operator.dev/v1alpha1",
        "kind": "ApiKey",
        "metadata": {"name": name, "namespace": scope.namespace},
        "spec": {"org": scope.org(), "roles": ["viewer"], "rotation": {"overlapSeconds": 3600}},
    });
    std::fs::write(&file, document.to_string()).unwrap();
    let declared = Declared { scope, name, file };
    declared.reconcile();
    declared
}

impl Declared<'_> {
    fn live(&self) -> Value {
        let get = ["get", "apikey", self.name, "-o", "json"];
        let live = [&get[..], &["--show-managed-fields"]].concat();
        serde_json::from_str(&self.scope.kubectl(&live)).unwrap()
    }

    fn exists(&self) -> bool {
        let get = ["get", "apikey", self.name, "--ignore-not-found", "-o=name"];
        !self.scope.kubectl(&get).is_empty()
    }

    /// Does what Flux does at each interval.
    fn reconcile(&self) {
        if self.exists() {
            let taken_over = (0..ATTEMPTS).any(|_| self.take_over());
            assert!(taken_over, "{} changed at each attempt", self.name);
        }
        let mut kubectl = self.scope.cluster.control_plane.kubectl();
        let apply = ["apply", "--server-side", "--force-conflicts"];
        let manager = format!("--field-manager={FLUX}");
        run(kubectl
            .args(apply)
            .args([manager.as_str(), "-f"])
            .arg(&self.file));
    }

    /// Moves the fields of kubectl's managers to Flux. Returns whether that succeeded: it fails if the key changed
    /// meanwhile, for example because the operator wrote the status.
    fn take_over(&self) -> bool {
        let live = self.live();
        let entries = taken_over(live["metadata"]["managedFields"].as_array().unwrap());
        let patch = json!([
            {"op": "test", "path": "/metadata/resourceVersion",
                "value": live["metadata"]["resourceVersion"]},
            {"op": "replace", "path": "/metadata/managedFields", "value": entries},
        ]);
        let patch = patch.to_string();
        let manager = format!("--field-manager={FLUX}");
        let patch = ["patch", "apikey", self.name, "--type=json", "-p", &patch];
        let patch = [&patch[..], &[manager.as_str()]].concat();
        self.scope.try_kubectl(&patch).is_some()
    }

    fn suspended(&self) -> bool {
        self.live()["spec"]["suspended"] == true
    }

    fn annotation(&self, name: &str) -> Value {
        self.live()["metadata"]["annotations"][name].clone()
    }

    /// Changes the key by hand, as this field manager.
    fn patch(&self, manager: &str, spec: &Value) {
        let patch = json!({"spec": spec}).to_string();
        let manager = format!("--field-manager={manager}");
        let patch = ["patch", "apikey", self.name, "--type=merge", "-p", &patch];
        self.scope
            .kubectl(&[&patch[..], &[manager.as_str()]].concat());
    }
}

/// The managed fields after those of managers whose name begins with `kubectl` moved to Flux.
fn taken_over(entries: &[Value]) -> Vec<Value> {
    let is_of = |entry: &Value, flux: bool| {
        let manager = entry["manager"].as_str().unwrap();
        let is_main = entry["subresource"].is_null();
        is_main && (manager.starts_with("kubectl") || flux && manager == FLUX)
    };
    if !entries.iter().any(|entry| is_of(entry, false)) {
        return entries.to_vec();
    }
    let (theirs, mut kept): (Vec<_>, Vec<_>) = entries
        .iter()
        .cloned()
        .partition(|entry| is_of(entry, true));
    let mut one = theirs[0].clone();
    one["manager"] = json!(FLUX);
    one["operation"] = json!("Apply");
    for entry in &theirs[1..] {
        let fields = one["fieldsV1"].as_object_mut().unwrap();
        merge(fields, entry["fieldsV1"].as_object().unwrap());
    }
    kept.push(one);
    kept
}

fn merge(into: &mut Map<String, Value>, from: &Map<String, Value>) {
    for (name, value) in from {
        let slot = into.entry(name).or_insert_with(|| json!({}));
        merge(slot.as_object_mut().unwrap(), value.as_object().unwrap());
    }
}

#[tokio::test]
async fn a_suspension_by_hand_outlives_flux_and_so_does_its_end() {
    let scope = Scope::shared().await;
    let key = declared(&scope, "ci");
    scope.plugin(&["suspend", "ci"]).done();
    for _ in 0..3 {
        key.reconcile();
        assert!(key.suspended());
    }
    scope.plugin(&["resume", "ci"]).done();
    key.reconcile();
    assert!(!key.suspended());
}

#[tokio::test]
async fn requests_by_hand_outlive_flux_until_they_are_answered() {
    let scope = Scope::shared().await;
    let key = declared(&scope, "ci");
    scope.ready("ci").await;
    scope.plugin(&["rotate", "ci", "--wait=false"]).done();
    let request = key.annotation(REQUEST);
    assert!(request.is_string());
    key.reconcile();
    assert_eq!(key.annotation(REQUEST), request);
    scope.rotated("ci", request.as_str().unwrap()).await;
    let discard = ["discard-previous", "ci", "--yes", "--wait=false"];
    scope.plugin(&discard).done();
    key.reconcile();
    assert_eq!(key.annotation(DISCARD), "1");
}

#[tokio::test]
async fn a_suspension_of_an_earlier_version_or_of_kubectl_is_made_to_last() {
    let scope = Scope::shared().await;
    let key = declared(&scope, "ci");
    for manager in ["kubectl-apikey", "kubectl-patch"] {
        // Flux reverts a plain change.
        key.patch(manager, &json!({"suspended": true}));
        key.reconcile();
        assert!(!key.suspended(), "{manager}");

        key.patch(manager, &json!({"suspended": true}));
        let message = scope.plugin(&["suspend", "ci"]).done();
        assert_eq!(message, "apikey/ci unchanged\n");
        key.reconcile();
        assert!(key.suspended(), "{manager}");
        let message = scope.plugin(&["suspend", "ci"]).done();
        assert_eq!(message, "apikey/ci unchanged\n");
        scope.plugin(&["resume", "ci"]).done();
        key.reconcile();
        assert!(!key.suspended(), "{manager}");

        key.patch(manager, &json!({"suspended": true}));
        scope.plugin(&["resume", "ci"]).done();
        assert!(!key.suspended(), "{manager}");
        key.patch(manager, &json!({"suspended": null}));
    }
}

#[tokio::test]
async fn roles_are_those_of_git_and_a_key_made_by_hand_is_adopted() {
    let scope = Scope::shared().await;
    scope.declare(
        scope.org(),
        "{allowedNamespaces: {from: All}, roles: [{key: viewer}, {key: builder}]}",
    );
    let org = scope.org().to_owned();
    let create = ["create", "ci", "--org", &org, "--role", "viewer,builder"];
    scope
        .plugin(&[&create[..], &["--description", "by hand"]].concat())
        .done();
    let key = declared(&scope, "ci");
    assert_eq!(key.live()["spec"]["roles"], json!(["viewer"]));
    assert!(key.live()["spec"]["description"].is_null());
    scope.plugin(&["roles", "add", "ci", "builder"]).done();
    key.reconcile();
    assert_eq!(key.live()["spec"]["roles"], json!(["viewer"]));
}
