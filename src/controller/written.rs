//! Which fields of a delivered Secret still have what the operator wrote, by `managedFields`. Pure.
//!
//! When somebody else changes or removes a field, the API server removes it from the fields of its
//! manager. So a change is visible without reading a value. An apply of `stringData` is the
//! exception: it overwrites `data`, and the manager of `data` keeps its fields. `managedFields`
//! shows such an apply, and does not show whether it changed the value.
//!
//! If the operator manages no field of a Secret, the Secret is somebody else's copy, and its value
//! counts as changed. In a Secret that was adopted from a backup, the operator manages the owner
//! and somebody else manages the value. Its value counts as unchanged.
//!
//! # Caveats
//!
//! Anybody who may write the Secret may also write under the name of the operator's manager. That
//! deceives only the consumers of this Secret.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use apikey_api::{ApiKey, names, names::data};

/// Maximum length of the names that are kept. Secrets of the operator have less. Unit: bytes.
const MAX_BYTES: usize = 8 * 1024;

/// Which fields still have what the operator wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Data keys that still have what was written with the value, one per line. `None`: unknown.
    value: Option<Box<str>>,
    /// The [`digest`] of the template fields that are still as applied. `None`: unknown.
    template: Option<Box<str>>,
    /// Whether somebody applies one of the operator's data keys as `stringData`.
    is_overlaid: bool,
    /// Whether the operator manages no field.
    is_foreign: bool,
}

/// Names of fields, by their parent.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// Keys of `metadata.labels`.
    pub labels: Vec<String>,
    /// Keys of `metadata.annotations`.
    pub annotations: Vec<String>,
    /// Keys of `data`.
    pub data: Vec<String>,
}

impl Written {
    /// Reads the Secret, or its metadata, as the API server sends it.
    #[must_use]
    pub fn read(json: &str) -> Self {
        let Managed {
            value,
            template,
            overlaid,
        } = Managed::read(json).unwrap_or_default();
        let is_foreign = value.is_none();
        let value = value.filter(|fields| {
            let mut annotations = fields.annotations.iter();
            annotations.any(|name| name == names::ANNOTATION_VERIFIER)
        });
        let ours = value.iter().chain(&template);
        let is_overlaid = ours
            .flat_map(|fields| &fields.data)
            .any(|name| overlaid.contains(name));
        let value = value.map(|fields| fields.data.join("\n"));
        Self {
            is_overlaid,
            is_foreign,
            value: value
                .filter(|names| names.len() <= MAX_BYTES)
                .map(Into::into),
            template: template.map(|fields| digest(fields).into()),
        }
    }

    /// Whether somebody changed or removed what consumers of this key read.
    #[must_use]
    pub fn is_value_changed(&self, apikey: &ApiKey) -> bool {
        if self.is_overlaid || self.is_foreign {
            return true;
        }
        let Some(written) = &self.value else {
            return false;
        };
        let is_kept = |key: &str| written.lines().any(|written| written == key);
        let keys = apikey
            .spec
            .secret
            .as_ref()
            .and_then(|spec| spec.keys.as_ref());
        let (name, secret) = keys.map_or((None, None), |keys| {
            (keys.name.as_deref(), keys.secret.as_deref())
        });
        let is_sealed = is_kept(data::SECRET_AGE);
        let is_whole = [data::NAME, data::KEY_ID, data::ORGANIZATION_ID]
            .into_iter()
            .all(is_kept)
            && name.is_none_or(is_kept)
            && (is_sealed || is_kept(data::SECRET) && secret.is_none_or(is_kept));
        !is_whole
    }

    /// Whether somebody may change data without a trace in `managedFields`, until the Secret is
    /// created anew.
    #[must_use]
    pub const fn is_overlaid(&self) -> bool {
        self.is_overlaid
    }

    /// Whether somebody changed or removed applied fields of the template.
    #[must_use]
    pub fn is_template_changed(&self, applied: Fields) -> bool {
        let kept = self.template.as_deref();
        kept.is_some_and(|kept| kept != digest(applied))
    }
}

/// Digest of these fields, in any order.
fn digest(fields: Fields) -> String {
    use sha2::{Digest as _, Sha256};
    let sorted = |mut names: Vec<String>| {
        names.sort_unstable();
        names.dedup();
        names
    };
    let Fields {
        labels,
        annotations,
        data,
    } = fields;
    let canonical = serde_json::json!([sorted(labels), sorted(annotations), sorted(data)]);
    let digest = Sha256::digest(canonical.to_string().as_bytes());
    apikey_credential::hex::encode(&digest[..8])
}

/// The content of `managedFields`.
#[derive(Default)]
struct Managed {
    /// Fields of the manager of the value; `None` if it manages no field.
    value: Option<Fields>,
    /// Fields of the manager of the template; `None` if it manages no field.
    template: Option<Fields>,
    /// Keys of `stringData` that others apply.
    overlaid: BTreeSet<String>,
}

impl Managed {
    /// Ignores entries that can't be read.
    fn read(json: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Object<'a> {
            #[serde(borrow)]
            metadata: Metadata<'a>,
        }
        #[derive(Deserialize)]
        struct Metadata<'a> {
            #[serde(borrow, rename = "managedFields")]
            managed_fields: Option<Vec<&'a RawValue>>,
        }
        let object: Object<'_> = serde_json::from_str(json).ok()?;
        let entries = object.metadata.managed_fields.unwrap_or_default();
        let mut all = Self::default();
        for entry in entries {
            all.add(entry.get());
        }
        Some(all)
    }

    fn add(&mut self, entry: &str) -> Option<()> {
        #[derive(Deserialize)]
        struct Entry<'a> {
            #[serde(borrow)]
            manager: Cow<'a, str>,
            #[serde(borrow, rename = "fieldsV1")]
            fields: &'a RawValue,
        }
        #[expect(
            clippy::zero_sized_map_values,
            reason = "only the names of the JSON object are needed"
        )]
        type Names<'a> = Option<BTreeMap<Cow<'a, str>, IgnoredAny>>;
        #[derive(Deserialize)]
        struct FieldsV1<'a> {
            #[serde(borrow, rename = "f:metadata")]
            metadata: Option<MetadataFields<'a>>,
            #[serde(borrow, rename = "f:data")]
            data: Names<'a>,
            #[serde(borrow, rename = "f:stringData")]
            string_data: Names<'a>,
        }
        #[derive(Default, Deserialize)]
        struct MetadataFields<'a> {
            #[serde(borrow, rename = "f:labels")]
            labels: Names<'a>,
            #[serde(borrow, rename = "f:annotations")]
            annotations: Names<'a>,
        }
        fn add(names: &mut impl Extend<String>, more: Names<'_>) {
            let more = more.unwrap_or_default();
            let more = more.keys().filter_map(|name| name.strip_prefix("f:"));
            names.extend(more.map(ToOwned::to_owned));
        }
        let entry: Entry<'_> = serde_json::from_str(entry).ok()?;
        let fields: FieldsV1<'_> = serde_json::from_str(entry.fields.get()).ok()?;
        let ours = match &*entry.manager {
            names::FIELD_MANAGER => &mut self.value,
            names::TEMPLATE_FIELD_MANAGER => &mut self.template,
            _ => {
                add(&mut self.overlaid, fields.string_data);
                return Some(());
            }
        };
        let ours = ours.get_or_insert_default();
        let metadata = fields.metadata.unwrap_or_default();
        add(&mut ours.labels, metadata.labels);
        add(&mut ours.annotations, metadata.annotations);
        add(&mut ours.data, fields.data);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use apikey_api::ApiKeySpec;

    /// A Secret in which the operator still manages these data keys.
    fn secret(kept: &[&str]) -> Value {
        let data: serde_json::Map<_, _> = kept
            .iter()
            .map(|key| (format!("f:{key}"), json!({})))
            .collect();
        let annotation = format!("f:{}", names::ANNOTATION_VERIFIER);
        let fields =
            json!({"f:data": data, "f:metadata": {"f:annotations": {annotation: {}, ".": {}}}});
        json!({"metadata": {"name": "ci", "managedFields": [
            {"manager": "kubectl-patch", "operation": "Update", "fieldsV1": {"f:data": {"f:x": {}}}},
            {"manager": names::FIELD_MANAGER, "operation": "Apply", "fieldsV1": fields},
        ]}})
    }

    fn is_changed(secret: &Value, spec: &Value) -> bool {
        let spec: ApiKeySpec = serde_json::from_value(spec.clone()).unwrap();
        Written::read(&secret.to_string()).is_value_changed(&ApiKey::new("ci", spec))
    }

    #[test]
    fn a_value_is_changed_if_a_key_that_consumers_read_is_no_longer_ours() {
        let plain = json!({"org": "acme", "roles": []});
        let whole = ["name", "secret", "key-id", "organization-id"];
        let sealed = ["name", "secret.age", "key-id", "organization-id"];
        assert!(!is_changed(&secret(&whole), &plain));
        assert!(!is_changed(&secret(&sealed), &plain));
        for lost in whole {
            let mut kept = whole.to_vec();
            kept.retain(|key| *key != lost);
            assert!(is_changed(&secret(&kept), &plain), "{lost}");
        }
        assert!(is_changed(&secret(&[]), &plain));
        let keys = json!({"org": "acme", "roles": [], "secret": {"keys": {"name": "USER", "secret": "PASS"}}});
        let with = |kept: [&str; 4], more: &[&str]| secret(&[&kept[..], more].concat());
        assert!(!is_changed(&with(whole, &["USER", "PASS"]), &keys));
        assert!(is_changed(&with(whole, &["USER"]), &keys));
        assert!(is_changed(&with(whole, &["PASS"]), &keys));
        assert!(!is_changed(&with(sealed, &["USER"]), &keys));
    }

    #[test]
    fn what_others_apply_as_string_data_may_have_changed_data_of_the_same_name() {
        let plain = json!({"org": "acme", "roles": []});
        for (theirs, wanted) in [("secret", true), ("key-id", true), ("mine", false)] {
            let mut secret = secret(&["name", "secret", "key-id", "organization-id"]);
            let entries = secret["metadata"]["managedFields"].as_array_mut().unwrap();
            let fields = json!({"f:stringData": {format!("f:{theirs}"): {}}});
            entries.push(json!({"manager": "x", "operation": "Apply", "fieldsV1": fields}));
            assert_eq!(is_changed(&secret, &plain), wanted, "{theirs}");
            let written = Written::read(&secret.to_string());
            assert_eq!(written.is_overlaid(), wanted, "{theirs}");
        }
    }

    #[test]
    fn a_value_is_changed_if_nothing_in_the_secret_is_known_to_be_ours() {
        let plain = json!({"org": "acme", "roles": []});
        let whole = secret(&["name", "secret", "key-id", "organization-id"]);
        let with = |managed: Value| {
            let mut copied = whole.clone();
            copied["metadata"]["managedFields"] = managed;
            copied
        };
        for managed in [
            json!(null),
            json!([]),
            json!([7, {"manager": 7}]),
            json!([{}]),
        ] {
            assert!(is_changed(&with(managed), &plain));
        }
        let mut copied = whole.clone();
        copied["metadata"]["managedFields"][1]["manager"] = json!("kubectl-replace");
        assert!(is_changed(&copied, &plain));
        for fields in [json!(7), json!({"f:metadata": 7}), json!({"f:data": [1]})] {
            let mut broken = whole.clone();
            broken["metadata"]["managedFields"][1]["fieldsV1"] = fields;
            assert!(is_changed(&broken, &plain));
        }
    }

    #[test]
    fn of_the_value_of_a_secret_that_was_taken_over_nothing_is_concluded() {
        let plain = json!({"org": "acme", "roles": []});
        let mut restored = secret(&[]);
        let owner = json!({"f:metadata": {"f:ownerReferences": {}}});
        restored["metadata"]["managedFields"][1]["fieldsV1"] = owner;
        assert!(!is_changed(&restored, &plain));
    }

    #[test]
    fn fields_of_any_depth_are_read_as_far_as_they_matter() {
        let deep = r#"{"f:a":"#.repeat(100_000) + "{}" + &"}".repeat(100_000);
        let text = secret(&["name"]).to_string();
        let text = text.replace(r#""f:name":{}"#, &format!(r#""f:name":{deep}"#));
        assert!(text.len() > 500_000);
        let key = ApiKey::new("ci", ApiKeySpec::default());
        assert!(Written::read(&text).is_value_changed(&key));
    }

    #[test]
    fn a_template_is_changed_if_fields_of_it_are_no_longer_ours() {
        let applied = || Fields {
            labels: vec!["team".into()],
            annotations: vec!["b".into(), "a".into()],
            data: vec![data::TOKEN_URL.into()],
        };
        let read = |labels: Value| {
            let fields = json!({
                "f:metadata": {"f:labels": labels, "f:annotations": {"f:a": {}, "f:b": {}}},
                "f:data": {"f:token-url": {}},
            });
            let manager = names::TEMPLATE_FIELD_MANAGER;
            let entry = json!({"manager": manager, "operation": "Apply", "fieldsV1": fields});
            Written::read(&json!({"metadata": {"managedFields": [entry]}}).to_string())
        };
        assert!(!read(json!({"f:team": {}})).is_template_changed(applied()));
        assert!(read(json!({})).is_template_changed(applied()));
        assert!(!Written::read("{}").is_template_changed(applied()));
    }
}
