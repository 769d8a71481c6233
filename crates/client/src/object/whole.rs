//! An object with all that the API server sent of it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{Decode, Unreadable};

const METADATA: &str = "metadata";
const MANAGED_FIELDS: &str = "managedFields";

/// An object to be shown or written back, whatever stands in it. Only `managedFields` are left out, as
/// kubectl does: the API server keeps those that it has if an object comes without.
#[derive(Clone, Serialize)]
#[serde(transparent)]
pub struct Whole(Fields);

/// The fields of an object, unread.
type Fields = BTreeMap<String, Box<RawValue>>;

impl fmt::Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It may be a Secret.
        f.debug_tuple("Whole").finish_non_exhaustive()
    }
}

impl Decode for Whole {
    fn decode(json: &str) -> Result<Self, Unreadable> {
        // The error of serde may show a value.
        let unreadable = |_| Unreadable::new(&"its fields can't be told apart");
        let fields = serde_json::from_str(json).map_err(unreadable)?;
        let mut whole = Self(fields);
        whole
            .set(METADATA, MANAGED_FIELDS, None)
            .map_err(unreadable)?;
        Ok(whole)
    }
}

impl Whole {
    /// Sets one entry of a field that has entries, such as `data`, or removes it.
    ///
    /// # Errors
    /// The field is there and has no entries.
    pub fn set(
        &mut self,
        field: &str,
        name: &str,
        value: Option<Box<RawValue>>,
    ) -> serde_json::Result<()> {
        let entries = self.0.get(field).map(|raw| raw.get());
        let entries = entries.map(serde_json::from_str::<Option<Fields>>);
        let mut entries = entries.transpose()?.flatten().unwrap_or_default();
        match value {
            Some(value) => entries.insert(name.to_owned(), value),
            None => entries.remove(name),
        };
        self.0.insert(field.to_owned(), to_raw_value(&entries)?);
        Ok(())
    }
}

/// An object, and all of it.
#[derive(Debug)]
pub struct Sent<K> {
    /// What is read of it.
    pub object: K,
    /// All of it.
    pub whole: Whole,
}

impl<K: Decode> Decode for Sent<K> {
    fn decode(json: &str) -> Result<Self, Unreadable> {
        Ok(Self {
            object: K::decode(json)?,
            whole: Whole::decode(json)?,
        })
    }
}

/// What may be an object that can't be read.
impl<K: Decode> Decode for Result<K, Unreadable> {
    fn decode(json: &str) -> Result<Self, Unreadable> {
        Ok(K::decode(json))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use apikey_api::ApiKey;

    #[test]
    fn everything_stays_but_managed_fields_of_any_depth() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let json = format!(
            r#"{{"kind": "ApiKey", "spec": {{"new": 1}}, "metadata": {{"name": "ci",
                "managedFields": {deep}, "finalizers": ["a/b"], "creationTimestamp": "never"}}}}"#
        );
        assert!(Sent::<ApiKey>::decode(&json).is_err());
        let sent = Sent::<Result<ApiKey, Unreadable>>::decode(&json).unwrap();
        assert!(sent.object.is_err());
        let mut all = json!({"kind": "ApiKey", "spec": {"new": 1}, "metadata": {
            "name": "ci", "finalizers": ["a/b"], "creationTimestamp": "never"}});
        assert_eq!(serde_json::to_value(&sent.whole).unwrap(), all);

        let mut whole = sent.whole;
        whole
            .set("data", "ring", Some(to_raw_value("eA==").unwrap()))
            .unwrap();
        all["data"] = json!({"ring": "eA=="});
        assert_eq!(serde_json::to_value(&whole).unwrap(), all);
        whole.set("data", "ring", None).unwrap();
        all["data"] = json!({});
        assert_eq!(serde_json::to_value(&whole).unwrap(), all);
        assert!(whole.set("kind", "ring", None).is_err());
        assert!(!format!("{whole:?}").contains("finalizers"));
    }
}
