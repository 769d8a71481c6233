//! Questions on a terminal. Esc and Ctrl-C end the call without a change.

use std::fmt::{self, Display};

use inquire::error::InquireError;
use inquire::list_option::ListOption;
use inquire::validator::Validation;
use inquire::{Confirm, InquireError as Asked, MultiSelect, Select};

use super::exit::Failure;
use super::terminal::Terminal;
use super::text::Text;

/// Asks a yes-or-no question.
#[expect(clippy::disallowed_methods, reason = "what is shown is a Text")]
pub(super) fn confirm(question: &str, default: bool) -> Result<bool, Failure> {
    let question = Text::from(question);
    let ask = Confirm::new(question.as_str()).with_default(default);
    answered(ask.prompt())
}

/// Asks the user to select one of the options.
#[expect(clippy::disallowed_methods, reason = "what is shown is a Text")]
pub(super) fn one_of<T: Display>(
    question: &str,
    options: Vec<T>,
    help: &str,
) -> Result<T, Failure> {
    let ask = Select::new(question, shown(options)).with_help_message(help);
    answered(ask.prompt()).map(|Shown(option, _)| option)
}

/// Asks the user to select at least one of the options.
#[expect(clippy::disallowed_methods, reason = "what is shown is a Text")]
pub(super) fn some_of<T: Display>(
    question: &str,
    options: Vec<T>,
    help: &str,
) -> Result<Vec<T>, Failure> {
    let ask = MultiSelect::new(question, shown(options))
        .with_help_message(help)
        .with_validator(|chosen: &[ListOption<&Shown<T>>]| {
            Ok(if chosen.is_empty() {
                Validation::Invalid("select at least one with Space".into())
            } else {
                Validation::Valid
            })
        });
    let chosen = answered(ask.prompt())?.into_iter();
    Ok(chosen.map(|Shown(option, _)| option).collect())
}

/// An option and its text.
struct Shown<T>(T, Text);

impl<T> Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1.as_str())
    }
}

fn shown<T: Display>(options: Vec<T>) -> Vec<Shown<T>> {
    let options = options.into_iter().map(|option| {
        let text = Text::from(&option);
        Shown(option, text)
    });
    options.collect()
}

/// A change that needs confirmation.
pub(super) struct Change<'a> {
    /// What would be done, for example "revoke 3 key(s) permanently".
    pub(super) would: String,
    /// The objects to change, shown before the question.
    pub(super) shown: Text,
    /// The question.
    pub(super) question: String,
    /// What to report after a no, for example "nothing was revoked".
    pub(super) otherwise: &'a str,
}

/// Shows the change and asks for confirmation.
///
/// # Errors
/// The answer is no, or there is no terminal to ask on. The message then says what to do.
pub(super) fn agree(change: Change<'_>, terminal: &mut Terminal) -> Result<(), Failure> {
    let Change {
        would,
        shown,
        question,
        otherwise,
    } = change;
    if !terminal.can_ask() {
        return Err(Failure::usage(format!(
            "this would {would}, and there is no terminal to ask for confirmation: check with \
             --dry-run, then use --yes"
        )));
    }
    terminal.note(shown);
    if confirm(&question, false)? {
        return Ok(());
    }
    Err(Failure::failed(otherwise))
}

/// Returns the answer, or a failure that explains why there is none.
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
