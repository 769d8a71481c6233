//! Any line of a watch is read or refused. A line with an object that the API server stores is never refused.

use apikey_api::{ApiKey, Organization};
use apikey_client::object::{Decode, NamespaceLabels};
use apikey_operator::controller::delivered::Delivered;
use apikey_operator::watch::event::Line;
use apikey_operator::watch::stored::StoredRecord;
use k8s_openapi::api::core::v1::Secret;

/// The longest text of an error. Unit: characters.
const MAX_ERROR_CHARS: usize = 400;

/// Reads the bytes as a line.
pub fn check(bytes: &[u8]) {
    any::<ApiKey>(bytes);
    any::<Organization>(bytes);
    any::<NamespaceLabels>(bytes);
    any::<Delivered>(bytes);
    any::<Secret>(bytes);
    any::<StoredRecord>(bytes);
}

fn any<K: Decode>(bytes: &[u8]) {
    match Line::<K>::read(bytes) {
        Ok(Line::Added(item) | Line::Modified(item)) => {
            assert!(item.identity.name.len() <= bytes.len());
        }
        Ok(Line::Deleted(gone)) => assert!(gone.name.len() <= bytes.len()),
        Ok(Line::Bookmark { version, .. }) => assert!(version.len() <= bytes.len()),
        Err(error) => {
            let text = error.to_string();
            let is_short = text.chars().count() <= MAX_ERROR_CHARS;
            assert!(is_short && !text.chars().any(char::is_control), "{text}");
        }
    }
}

/// Checks the lines with an object whose name is `a`, uid `u` and version 7.
pub fn check_identity<K: Decode>(object: &str) {
    for type_ in ["ADDED", "MODIFIED", "DELETED"] {
        let line = format!(r#"{{"type": "{type_}", "object": {object}}}"#);
        let line = Line::<K>::read(line.as_bytes()).expect("an item is no error of the watch");
        let identity = match line {
            Line::Added(item) | Line::Modified(item) => item.identity,
            Line::Deleted(gone) => gone,
            Line::Bookmark { .. } => unreachable!("the line has an object"),
        };
        assert_eq!((&*identity.name, &*identity.uid), ("a", "u"));
        assert_eq!(identity.version(), 7);
    }
    let line = format!(r#"{{"type": "BOOKMARK", "object": {object}}}"#);
    // Only the API server makes bookmarks, so one with other contents may be refused.
    let _ = Line::<K>::read(line.as_bytes());
}
