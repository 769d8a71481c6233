use k8s_openapi::api::core::v1::Secret;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use apikey_api::{ApiKey, Organization, Phase};

fn apikey() -> Value {
    json!({
        "apiVersion": "apikey-operator.dev/v1alpha1",
        "kind": "ApiKey",
        "metadata": {"namespace": "team", "name": "ci", "uid": "u", "resourceVersion": "7",
            "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"org": "acme", "roles": ["reader"]},
    })
}

fn read(object: &Value) -> Stored<ApiKey> {
    Stored::read(&object.to_string()).unwrap()
}

/// `fieldsV1` of this depth, with a time that no timestamp type here can represent.
fn managed_fields(depth: usize) -> String {
    let fields = r#"{"f:a":"#.repeat(depth) + "{}" + &"}".repeat(depth);
    format!(
        r#"[{{"manager": "x", "operation": "Update", "time": "9999-12-31T23:59:59Z",
            "fieldsType": "FieldsV1", "fieldsV1": {fields}}}]"#
    )
}

#[test]
fn managed_fields_are_never_looked_at_however_deep_and_whatever_time_they_name() {
    let text = apikey().to_string();
    for depth in [1, 200, 100_000] {
        let with = format!(r#""managedFields": {}, "name""#, managed_fields(depth));
        let stored = Stored::<ApiKey>::read(&text.replacen(r#""name""#, &with, 1)).unwrap();
        let key = stored.object.unwrap();
        assert_eq!(key.spec.org, "acme");
        assert_eq!(&*stored.identity.name, "ci");
    }
}

#[test]
fn a_field_of_the_status_that_can_t_be_read_is_left_out_and_the_others_count() {
    let mut object = apikey();
    object["status"] = json!({
        "observedGeneration": 3,
        "phase": "Hibernating",
        "rotatedAt": "2026-01-01T00:00:00+99:99",
        "lastUsedAt": "2026-01-02T00:00:00Z",
        "keyId": "abc",
    });
    let status = read(&object).object.unwrap().status.unwrap();
    assert_eq!(status.observed_generation, 3);
    assert_eq!((status.phase, status.rotated_at), (None, None));
    assert!(status.last_used_at.is_some());
    object["status"]["phase"] = json!("Active");
    let status = read(&object).object.unwrap().status.unwrap();
    assert_eq!(status.phase, Some(Phase::Active));
    for not_a_status in [json!(7), json!("x"), json!(null)] {
        object["status"] = not_a_status;
        assert_eq!(read(&object).object.unwrap().status, None);
    }
}

#[test]
fn a_status_that_is_too_large_to_be_ours_is_not_read() {
    let mut object = apikey();
    object["status"] = json!({"keyId": "a".repeat(200_000)});
    assert_eq!(read(&object).object.unwrap().status, None);
}

#[test]
fn an_object_whose_spec_can_t_be_read_is_known_by_its_identity() {
    for spec in [
        json!(null),
        json!(7),
        json!({"roles": []}),
        json!({"org": ["acme"], "roles": []}),
    ] {
        let mut object = apikey();
        object["spec"] = spec;
        let stored = read(&object);
        assert!(stored.object.is_err());
        assert_eq!(stored.identity.namespace.as_deref(), Some("team"));
        assert_eq!((&*stored.identity.uid, stored.identity.version()), ("u", 7));
    }
    let organization = Stored::<Organization>::read(&apikey().to_string()).unwrap();
    assert_eq!(&*organization.identity.name, "ci");
}

#[test]
fn what_is_said_of_a_secret_that_can_t_be_read_shows_no_value_of_it() {
    let secret = json!({
        "metadata": {"name": "s", "uid": "u", "resourceVersion": "1"},
        "data": {"secret": "no base64 but private!"},
    });
    let stored = Stored::<Secret>::read(&secret.to_string()).unwrap();
    let error = stored.object.unwrap_err().to_string();
    assert!(!error.contains("private"), "{error}");
}

#[test]
fn a_namespace_with_more_labels_than_are_kept_is_unreadable_and_not_without_labels() {
    let labelled = |n: usize| {
        let labels: Value = (0..n)
            .map(|i| (format!("key-{i:05}"), json!("v".repeat(63))))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let namespace = json!({
            "metadata": {"name": "team", "uid": "u", "resourceVersion": "1", "labels": labels},
        });
        Stored::<NamespaceLabels>::read(&namespace.to_string())
            .unwrap()
            .object
    };
    assert_eq!(labelled(100).unwrap().labels.len(), 100);
    assert!(labelled(1000).is_err());
}

#[test]
fn one_item_of_a_page_that_can_t_be_read_leaves_the_others() {
    let mut bad = apikey();
    bad["spec"] = json!("none");
    let page = json!({
        "kind": "ApiKeyList",
        "metadata": {"resourceVersion": "9", "continue": ""},
        "items": [apikey(), bad, apikey()],
    });
    let page: Page<ApiKey> = serde_json::from_str(&page.to_string()).unwrap();
    assert_eq!((page.token(), page.resource_version()), (None, "9"));
    let readable: Vec<_> = page
        .into_items()
        .iter()
        .map(|item| item.object.is_ok())
        .collect();
    assert_eq!(readable, [true, false, true]);
}

/// Arbitrary JSON.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!("9999-12-31T23:59:59Z")),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_stands_in_an_object_it_is_read_or_known_by_its_identity(
        spec in any_json(), status in any_json(), extra in any_json(), name in any::<String>(),
    ) {
        let mut object = apikey();
        object["spec"] = spec;
        object["status"] = status;
        object["metadata"]["name"] = json!(name);
        object["metadata"]["managedFields"] = extra.clone();
        object["metadata"]["finalizers"] = extra.clone();
        object["data"] = extra;
        let text = object.to_string();
        let stored = Stored::<ApiKey>::read(&text).unwrap();
        prop_assert_eq!(&*stored.identity.name, &*name);
        prop_assert!(Stored::<Organization>::read(&text).is_ok());
        prop_assert!(Stored::<Secret>::read(&text).is_ok());
        prop_assert!(Stored::<NamespaceLabels>::read(&text).is_ok());
    }
}

#[test]
fn a_spec_that_could_never_be_delivered_is_not_kept_in_memory() {
    let annotated = |chars: usize| {
        let mut object = apikey();
        let note = "x".repeat(chars);
        object["spec"]["secret"] = json!({"template": {"annotations": {"note": note}}});
        read(&object).object
    };
    assert!(annotated(256 * 1024).is_ok());
    let unreadable = annotated(1024 * 1024).unwrap_err().to_string();
    assert!(unreadable.starts_with("spec: 104"), "{unreadable}");
}
