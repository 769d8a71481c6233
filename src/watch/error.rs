//! Errors of lists and watches.

use std::{fmt, io};

use kube::core::Status;

use apikey_client::error::chain;

/// Longest text of an error from the other side. Unit: characters.
const MAX_TEXT_CHARS: usize = 256;

/// Why a list or watch failed. It is reopened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request failed.
    #[error("{}", chain(.0))]
    Request(Box<kube::Error>),
    /// The API server ended it.
    #[error("{}", .0.message)]
    Ended(Box<Status>),
    /// No response in time.
    #[error("no response in time")]
    Silence,
    /// The connection broke.
    #[error("{}", chain(.0))]
    Broken(io::Error),
    /// The last line is incomplete.
    #[error("the last line is incomplete")]
    CutOff,
    /// An object or a page exceeds the memory limit.
    #[error("an object or a page is too large")]
    TooLong,
    /// Something that is not an event.
    #[error("invalid event: {0}")]
    NoEvent(String),
    /// A watch ended early without any event.
    #[error("the watch ended early without any event")]
    EndedEarly,
    /// A version is lower than an earlier one.
    #[error(
        "the version went back from {from} to {to}: the cluster was restored to an older state"
    )]
    WentBack {
        /// The known version.
        from: String,
        /// The received version.
        to: String,
    },
}

/// Shortens a text for a log.
fn shown(text: &str) -> String {
    let shown = text.chars().filter(|c| !c.is_control());
    shown.take(MAX_TEXT_CHARS).collect()
}

impl Error {
    /// The response is not an event, for this reason.
    pub(super) fn no_event(reason: &dyn fmt::Display) -> Self {
        Self::NoEvent(shown(&reason.to_string()))
    }

    /// The error that the API server reports in a watch.
    pub(super) fn of_status(status: &str) -> Self {
        match serde_json::from_str::<Status>(status) {
            Ok(mut status) => {
                status.message = shown(&status.message);
                Self::Ended(Box::new(status))
            }
            Err(error) => Self::no_event(&error),
        }
    }

    fn status(&self) -> Option<&Status> {
        if let Self::Ended(status) = self {
            return Some(status);
        }
        if let Self::Request(error) = self
            && let kube::Error::Api(status) = &**error
        {
            return Some(status);
        }
        None
    }

    pub(super) fn has_code(&self, codes: &[u16]) -> bool {
        self.status()
            .is_some_and(|status| codes.contains(&status.code))
    }

    /// Whether access is denied.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.has_code(&[403])
    }

    /// Whether only a new list helps, because the changes after the known version are no longer
    /// available.
    pub(super) fn needs_list(&self) -> bool {
        self.has_code(&[410]) || matches!(self, Self::WentBack { .. })
    }
}
