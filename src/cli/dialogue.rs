//! Questions on a terminal. Esc and Ctrl-C end the call, with nothing done.

use inquire::error::InquireError;
use inquire::{Confirm, InquireError as Asked};

use super::exit::Failure;
use super::terminal::Terminal;

/// A yes or no.
pub(super) fn confirm(question: &str, default: bool) -> Result<bool, Failure> {
    answered(Confirm::new(question).with_default(default).prompt())
}

/// A change that is not made without a yes.
pub(super) struct Change<'a> {
    /// What would be done, for example "revoke 3 key(s) for good".
    pub(super) would: String,
    /// To what, as it is shown before the question.
    pub(super) shown: String,
    /// The question.
    pub(super) question: String,
    /// What is so after a no, for example "nothing was revoked".
    pub(super) otherwise: &'a str,
}

/// Shows the change and asks.
///
/// # Errors
/// The answer is no, or there is no terminal to ask on: then it says what to do.
pub(super) fn agree(change: Change<'_>, terminal: &mut Terminal) -> Result<(), Failure> {
    let Change {
        would,
        shown,
        question,
        otherwise,
    } = change;
    if !terminal.can_ask() {
        return Err(Failure::usage(format!(
            "this would {would}, and there is no terminal to ask on: look with --dry-run, then give \
             --yes"
        )));
    }
    terminal.note(shown);
    if confirm(&question, false)? {
        return Ok(());
    }
    Err(Failure::failed(otherwise))
}

/// The answer, or why there is none.
pub(super) fn answered<T>(answer: Result<T, InquireError>) -> Result<T, Failure> {
    answer.map_err(|error| match error {
        Asked::OperationCanceled | Asked::OperationInterrupted => {
            Failure::failed("stopped; nothing was changed")
        }
        other @ (Asked::NotTTY
        | Asked::InvalidConfiguration(_)
        | Asked::IO(_)
        | Asked::Custom(_)) => Failure::failed(format!("the terminal can't be used: {other}")),
    })
}
