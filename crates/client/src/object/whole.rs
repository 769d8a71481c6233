//! An object with everything that the API server sent.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::stored::{Decode, Unreadable};

const METADATA: &str = "metadata";
const MANAGED_FIELDS: &str = "managedFields";

/// An object to show or write back, with any content. It omits only `managedFields`, as kubectl does. The API
/// server keeps its stored ones if an object is written without them.
#[derive(Clone, Serialize)]
#[serde(transparent)]
pub struct Whole(Fields);

/// The fields of an object, not decoded.
type Fields = BTreeMap<String, Box<RawValue>>;

impl fmt::Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The object may be a Secret.
        f.debug_tuple("Whole").finish_non_exhaustive()
    }
}

impl Decode for Whole {
    fn decode(json: &str) -> Result<Self, Unreadable> {
        // serde's error can quote a value.
        let unreadable = |_| Unreadable::new(&"its fields can't be read");
        let fields = serde_json::from_str(json).map_err(unreadable)?;
        let mut whole = Self(fields);
        whole
            .set(METADATA, MANAGED_FIELDS, None)
            .map_err(unreadable)?;
        Ok(whole)
    }
}

impl Whole {
    /// Sets or removes one entry of a field that has entries, such as `data`.
    ///
    /// # Errors
    /// The field exists and has no entries.
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

/// A decoded object, and everything that the API server sent.
#[derive(Debug)]
pub struct Sent<K> {
    /// The decoded object.
    pub object: K,
    /// Everything that the API server sent.
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

/// Keeps an object that can't be decoded as an error.
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
