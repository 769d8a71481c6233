//! The scripts of `gitops/argocd`, run on the test data beside them in the way of the tests of Argo CD.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::judges::{argocd, kstatus};
use super::{document, file, tree};
use crate::gitops::judges::Verdict;

pub(super) const SCRIPTS: &str = "gitops/argocd/apikey-operator.dev";
/// The text that the tests of Argo CD have in place of the current time.
pub(super) const SOME_TIME: &str = "0001-01-01T00:00:00Z";
const REQUEST: &str = "/metadata/annotations/apikey-operator.dev~1rotate-requested-at";

fn folder(kind: &str) -> PathBuf {
    file(SCRIPTS).join(kind)
}

#[test]
fn health_is_that_of_the_test_data_and_of_kstatus() {
    for kind in ["ApiKey", "Organization"] {
        let folder = folder(kind);
        let tests = document(&folder.join("health_test.yaml"));
        let tests = tests["tests"].as_array().unwrap();
        assert!(tests.len() >= 4, "{kind}: only {} tests", tests.len());
        for test in tests {
            let path = folder.join(test["inputPath"].as_str().unwrap());
            let object = document(&path);
            let expected = &test["healthStatus"];
            let same: &[&str] = match kstatus(&object) {
                Verdict::InProgress | Verdict::Terminating => &["Progressing"],
                Verdict::Failed => &["Degraded"],
                Verdict::Current => &["Healthy", "Suspended"],
            };
            let status = expected["status"].as_str().unwrap();
            assert!(same.contains(&status), "{}: {status}", path.display());
            if let Some(result) = argocd(&folder.join("health.lua"), &object) {
                assert_eq!(result, *expected, "{}", path.display());
            }
        }
        let data = tree(&format!("{SCRIPTS}/{kind}/testdata")).len();
        assert_eq!(data, tests.len(), "{kind}: the tests use each file once");
    }
}

#[test]
fn actions_are_offered_when_they_make_sense() {
    let actions = folder("ApiKey").join("actions");
    let tests = document(&actions.join("action_test.yaml"));
    for test in tests["discoveryTests"].as_array().unwrap() {
        let object = document(&actions.join(test["inputPath"].as_str().unwrap()));
        let Some(result) = argocd(&actions.join("discovery.lua"), &object) else {
            return;
        };
        let result = result.as_object().unwrap();
        let expected = test["result"].as_array().unwrap();
        assert_eq!(result.len(), expected.len());
        for action in expected {
            let disabled = &result[action["name"].as_str().unwrap()]["disabled"];
            assert_eq!(
                *disabled, action["disabled"],
                "{}: {action}",
                test["inputPath"]
            );
        }
    }
}

#[test]
fn actions_change_what_they_declare_and_nothing_else() {
    let actions = folder("ApiKey").join("actions");
    let tests = document(&actions.join("action_test.yaml"));
    let tests = tests["actionTests"].as_array().unwrap();
    for test in tests {
        let path = |field: &str| actions.join(test[field].as_str().unwrap());
        let script = actions
            .join(test["action"].as_str().unwrap())
            .join("action.lua");
        let Some(mut result) = argocd(&script, &document(&path("inputPath"))) else {
            return;
        };
        if let Some(Value::String(time)) = result.pointer_mut(REQUEST)
            && test["action"] == "rotate"
        {
            assert!(
                time.parse::<k8s_openapi::jiff::Timestamp>().is_ok(),
                "{time}"
            );
            SOME_TIME.clone_into(time);
        }
        assert_eq!(result, document(&path("expectedOutputPath")), "{test}");
    }
    let tested = |name: &str| tests.iter().any(|test| test["action"] == name);
    for entry in std::fs::read_dir(&actions).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let is_action = path.join("action.lua").exists();
        assert!(!is_action || tested(name), "action {name} has no test");
    }
}

#[test]
fn an_action_on_a_key_without_annotations_adds_them() {
    let actions = folder("ApiKey").join("actions");
    let bare = json!({"metadata": {"name": "ci"}, "spec": {},
        "status": {"previousSecret": {"revision": 12}}});
    let annotation = |action: &str| {
        let result = argocd(&actions.join(action).join("action.lua"), &bare)?;
        result["metadata"]["annotations"].as_object().cloned()
    };
    if let Some(annotations) = annotation("discard-previous") {
        assert_eq!(annotations["apikey-operator.dev/discard-previous"], "12");
        assert_eq!(annotation("rotate").unwrap().len(), 1);
    }
}

#[test]
fn the_config_map_of_the_example_has_the_same_scripts() {
    let config = document(&file("examples/gitops/argocd/argocd-cm.yaml"));
    let data = &config["data"];
    let read = |path: &Path| std::fs::read_to_string(path).unwrap().trim_end().to_owned();
    let same = |value: &Value, path: &Path| {
        let text = value.as_str().unwrap_or_default().trim_end();
        let how = "run hack/gitops.sh --argocd-cm";
        assert_eq!(text, read(path), "{}: {how}", path.display());
    };
    for kind in ["ApiKey", "Organization"] {
        let key = format!("resource.customizations.health.apikey-operator.dev_{kind}");
        same(&data[key], &folder(kind).join("health.lua"));
    }
    let actions = data["resource.customizations.actions.apikey-operator.dev_ApiKey"].as_str();
    let actions: Value = serde_saphyr::from_str(actions.unwrap()).unwrap();
    let scripts = folder("ApiKey").join("actions");
    same(&actions["discovery.lua"], &scripts.join("discovery.lua"));
    for definition in actions["definitions"].as_array().unwrap() {
        let script = scripts
            .join(definition["name"].as_str().unwrap())
            .join("action.lua");
        same(&definition["action.lua"], &script);
    }
}
