//! How a call ends: [`Exit`] codes, which scripts can rely on, and [`Failure`], which tells the user what to
//! do.

use std::fmt::Write as _;
use std::process::ExitCode;

use apikey_client::error;

/// Exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The call succeeded.
    Done,
    /// The call failed for a reason without its own code.
    Failed,
    /// The command line is wrong.
    Usage,
    /// An object does not exist.
    NotFound,
    /// A permission is missing.
    Forbidden,
    /// The call worked, and the answer is no.
    No,
    /// The call timed out.
    TimedOut,
}

impl Exit {
    /// All exit codes in numeric order.
    pub(crate) const ALL: [Self; 7] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::NotFound,
        Self::Forbidden,
        Self::No,
        Self::TimedOut,
    ];

    /// The numeric code.
    #[must_use]
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Forbidden => 4,
            Self::No => 5,
            Self::TimedOut => 6,
        }
    }

    /// What the code means.
    #[must_use]
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed; see the message",
            Self::Usage => "wrong usage",
            Self::NotFound => "an object was not found",
            Self::Forbidden => "a permission is missing; the message names it",
            Self::No => {
                "the answer is no: problems found, expired, not healthy, already revealed, refused"
            }
            Self::TimedOut => "timed out",
        }
    }

    /// The exit code for an error of clap.
    pub(super) fn of(error: &clap::Error) -> Self {
        if error.use_stderr() {
            Self::Usage
        } else {
            Self::Done
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// The table of exit codes that `--help` prints.
#[must_use]
pub(crate) fn table() -> String {
    let mut text = "Exit codes:\n".to_owned();
    for exit in Exit::ALL {
        let _ = writeln!(text, "  {}  {}", exit.code(), exit.meaning());
    }
    text
}

/// Why a call failed: a message for people and an exit code for programs.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    /// Creates a failure with this exit code.
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }

    /// Creates a failure with [`Exit::Failed`].
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// Creates a failure with [`Exit::Usage`].
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Creates a failure with [`Exit::NotFound`].
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, message)
    }

    /// Creates a failure with [`Exit::Forbidden`].
    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(Exit::Forbidden, message)
    }

    /// Creates a failure with [`Exit::No`].
    pub(crate) fn no(message: impl Into<String>) -> Self {
        Self::new(Exit::No, message)
    }

    /// Creates a failure with [`Exit::TimedOut`].
    pub(crate) fn timed_out(message: impl Into<String>) -> Self {
        Self::new(Exit::TimedOut, message)
    }

    /// A failure without a message, for a closed pipe.
    pub(super) fn silent() -> Self {
        Self::new(Exit::Done, "")
    }

    /// Prefixes the message with the object that it is about.
    #[must_use]
    pub(super) fn about(mut self, what: &str) -> Self {
        if !self.message.is_empty() {
            self.message = format!("{what}: {}", self.message);
        }
        self
    }

    /// The exit code.
    #[must_use]
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// The message: what is wrong and what to do.
    #[must_use]
    pub(crate) fn message(&self) -> &str {
        &self.message
    }
}

impl From<error::Error> for Failure {
    /// Converts a failed request to the API server. The server's message already names a missing permission.
    fn from(error: error::Error) -> Self {
        if error.is_deadline() {
            return Self::timed_out(format!(
                "{error}: check that the cluster can be reached (`kubectl cluster-info`)"
            ));
        }
        if error.is_unreadable() {
            return Self::failed(format!(
                "{error}: this version can't read the object; look at it with `kubectl get ... -o \
                 yaml`, and update this program if the operator is newer"
            ));
        }
        match error.code() {
            Some(401) => Self::forbidden(format!(
                "{error}: the cluster does not know you; log in again, or choose another --context"
            )),
            Some(403) => Self::forbidden(format!("{error}; ask for that permission")),
            Some(404) => Self::not_found(error.to_string()),
            Some(_) => Self::failed(error.to_string()),
            None => Self::failed(format!(
                "{error}: check that the cluster can be reached (`kubectl cluster-info`)"
            )),
        }
    }
}

impl From<std::io::Error> for Failure {
    /// Converts an error in writing the output.
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::silent();
        }
        Self::failed(format!("the output can't be written: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_their_places_in_the_table() {
        for (place, exit) in Exit::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(exit.code()), place);
        }
        assert_eq!(table().lines().count(), 8);
    }
}
