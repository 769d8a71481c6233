//! A status, of which every field that can be read counts.
//!
//! The status is never an authority: what it says is written anew from what is known. So a field that
//! can't be read (of a newer version, or written by somebody else) is left out, and the next write of
//! the status puts it right.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// Greatest status that is read. One that is written here has at most half of it. Unit: bytes.
const MAX_STATUS_BYTES: usize = 96 * 1024;

/// Reads a status; `None` if there is none, or nothing of it can be read.
pub(super) fn read<S: DeserializeOwned>(status: Option<&RawValue>) -> Option<S> {
    let json = status?.get();
    if json.len() > MAX_STATUS_BYTES {
        return None;
    }
    serde_json::from_str(json).ok().or_else(|| salvage(json))
}

/// The fields that can be read by themselves.
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
