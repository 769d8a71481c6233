//! Questions on a terminal. Esc and Ctrl-C end the call, with nothing done.

use inquire::error::InquireError;
use inquire::{Confirm, InquireError as Asked};

use super::exit::Failure;

/// A yes or no.
pub(super) fn confirm(question: &str, default: bool) -> Result<bool, Failure> {
    answered(Confirm::new(question).with_default(default).prompt())
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
