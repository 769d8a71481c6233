//! The events of a watch.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::Error;
use apikey_client::object::{Decode, Identity, Stored};

/// A change of a watched kind, in the order of the API server. The names are those of kube.
#[derive(Clone, Debug)]
pub enum Event<K> {
    /// A list begins.
    Init,
    /// The list contains this object.
    InitApply(Stored<K>),
    /// The list is complete: objects that it does not contain are deleted.
    InitDone,
    /// An object was added or changed.
    Apply(Stored<K>),
    /// An object was deleted.
    Delete(Identity),
}

/// Annotation of the bookmark that ends a streamed list (KEP-3157).
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// One line of a watch.
#[derive(Debug)]
pub enum Line<K> {
    /// An object was added, or is part of a streamed list.
    Added(Stored<K>),
    /// An object changed.
    Modified(Stored<K>),
    /// An object was deleted.
    Deleted(Identity),
    /// There are no further changes up to this version.
    Bookmark {
        /// The version.
        version: String,
        /// Whether a streamed list is complete.
        ends_list: bool,
    },
}

#[derive(Deserialize)]
struct Parts<'a> {
    #[serde(rename = "type", borrow)]
    type_: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct Bookmark<'a> {
    #[serde(borrow)]
    metadata: BookmarkMetadata<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BookmarkMetadata<'a> {
    #[serde(borrow)]
    resource_version: Cow<'a, str>,
    #[serde(borrow, default)]
    annotations: Option<std::collections::BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
}

impl<K: Decode> Line<K> {
    /// Parses a line. An object that can't be read is not an error if it has a name, uid and
    /// version.
    ///
    /// # Errors
    /// The line is an error of the API server, or nothing that an API server sends.
    pub fn read(line: &[u8]) -> Result<Self, Error> {
        let text = std::str::from_utf8(line).map_err(|_| Error::no_event(&"it is not UTF-8"))?;
        let no_event = |error: serde_json::Error| Error::no_event(&error);
        let Parts { type_, object } = serde_json::from_str(text).map_err(no_event)?;
        match &*type_ {
            "ADDED" => Stored::read(object.get())
                .map(Self::Added)
                .map_err(no_event),
            "MODIFIED" => Stored::read(object.get())
                .map(Self::Modified)
                .map_err(no_event),
            "DELETED" => {
                let gone = Stored::<Ignored>::read(object.get()).map_err(no_event)?;
                Ok(Self::Deleted(gone.identity))
            }
            "BOOKMARK" => {
                let Bookmark { metadata } = serde_json::from_str(object.get()).map_err(no_event)?;
                let annotations = metadata.annotations.unwrap_or_default();
                Ok(Self::Bookmark {
                    version: metadata.resource_version.into_owned(),
                    ends_list: annotations
                        .get(INITIAL_EVENTS_END)
                        .is_some_and(|end| end == "true"),
                })
            }
            "ERROR" => Err(Error::of_status(object.get())),
            other => Err(Error::no_event(&format_args!("its type is '{other}'"))),
        }
    }
}

/// An object whose content is ignored.
pub(super) struct Ignored;

impl Decode for Ignored {
    fn decode(_: &str) -> Result<Self, apikey_client::object::Unreadable> {
        Ok(Self)
    }
}
