//! One change of many keys: a line for each on standard output, a bar on a terminal, and on to the
//! next when one fails.

use std::fmt::Display;

use futures::StreamExt as _;
use futures::stream;

use super::exit::{Exit, Failure};
use super::invocation::Invocation;
use super::key;
use super::select::Selected;
use crate::api::ApiKey;

/// Requests at the same time.
const AT_ONCE: usize = 8;

/// Changes each of the keys; `change` says what it did, for example `revoked`. No failure keeps the
/// others from being changed.
///
/// # Errors
/// Some failed; each was named. The exit code is that of the failures if they agree.
pub(super) async fn each<T: Display>(
    call: &mut Invocation,
    selected: Selected,
    doing: &'static str,
    change: impl AsyncFn(&ApiKey) -> Result<T, Failure>,
) -> Result<(), Failure> {
    let Selected { keys, missing } = selected;
    let count = keys.len() + missing.len();
    let bar = call.terminal.bar(keys.len(), doing);
    let mut exits = Vec::new();
    let change = &change;
    let changes = keys
        .iter()
        .map(|key| async move { (key, change(key).await) });
    let mut done = stream::iter(changes).buffered(AT_ONCE);
    while let Some((key, result)) = done.next().await {
        bar.inc(1);
        let name = key::name(key);
        match result {
            Ok(what) => bar.suspend(|| call.terminal.print(format!("apikey/{name} {what}")))?,
            Err(failure) => {
                exits.push(failure.exit());
                bar.suspend(|| {
                    let message = failure.message();
                    call.terminal.note(format!("apikey/{name}: {message}"));
                });
            }
        }
    }
    bar.finish_and_clear();
    for name in missing {
        exits.push(Exit::NotFound);
        call.terminal.note(format!("apikey/{name}: not found"));
    }
    summary(&exits, count)
}

fn summary(exits: &[Exit], count: usize) -> Result<(), Failure> {
    let Some(first) = exits.first() else {
        return Ok(());
    };
    let message = format!("{} of {count} failed, as said above", exits.len());
    let alike = count == 1 && exits.iter().all(|exit| exit == first);
    if alike {
        return Err(Failure::new(*first, message));
    }
    Err(Failure::failed(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_failure_keeps_its_code_and_many_are_one_failure() {
        assert!(summary(&[], 3).is_ok());
        let code = |exits: &[Exit], count| summary(exits, count).unwrap_err().exit();
        assert_eq!(code(&[Exit::NotFound], 1), Exit::NotFound);
        assert_eq!(code(&[Exit::NotFound], 2), Exit::Failed);
        assert_eq!(code(&[Exit::NotFound, Exit::Forbidden], 2), Exit::Failed);
    }
}
