//! Decodes as much of a status as possible.
//!
//! The status is never a source of truth: the operator computes it again from other data. A field that can't
//! be decoded, because a newer version or another client wrote it, is ignored, and the next write of the
//! status corrects it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// Maximum size in bytes of a status that is decoded. The operator writes at most half of it.
const MAX_STATUS_BYTES: usize = 96 * 1024;

/// Decodes a status. `None` if there is none, or if no part of it can be decoded.
pub(super) fn read<S: DeserializeOwned>(status: Option<&RawValue>) -> Option<S> {
    let json = status?.get();
    if json.len() > MAX_STATUS_BYTES {
        return None;
    }
    serde_json::from_str(json).ok().or_else(|| salvage(json))
}

/// Decodes each field separately and keeps those that can be decoded.
fn salvage<S: DeserializeOwned>(json: &str) -> Option<S> {
    #[derive(Deserialize)]
    struct Fields<'a>(#[serde(borrow)] BTreeMap<String, &'a RawValue>);
    let Fields(mut fields) = serde_json::from_str(json).ok()?;
    fields.retain(|name, value| {
        let alone = serde_json::to_string(&BTreeMap::from([(name.as_str(), *value)]));
        alone.is_ok_and(|alone| serde_json::from_str::<S>(&alone).is_ok())
    });
    serde_json::from_str(&serde_json::to_string(&fields).ok()?).ok()
}
