//! Changes many keys. Each key gets a line on standard output, and a terminal shows a progress bar. A failure
//! does not stop the other changes.

use std::fmt::Display;

use futures::StreamExt as _;
use futures::stream;

use k8s_openapi::jiff::Timestamp;

use super::dialogue::{self, Change};
use super::exit::Failure;
use super::invocation::{Cluster, Invocation};
use super::pages;
use super::select::{Selected, Selection};
use super::{key, program};
use apikey_api::ApiKey;

/// Maximum number of concurrent requests.
const AT_ONCE: usize = 8;

/// Reads the selected keys. If `asks`, asks for confirmation of the change that `question` returns for them.
///
/// # Errors
/// The keys can't be read, or the answer is no.
pub(super) async fn confirmed(
    call: &mut Invocation,
    cluster: &Cluster,
    selection: &Selection,
    asks: bool,
    question: impl FnOnce(&[ApiKey], Timestamp) -> Option<Change<'static>>,
) -> Result<Selected, Failure> {
    let selected = selection.read(cluster).await?;
    if asks && let Some(change) = question(&selected.keys, call.clock.now()) {
        dialogue::agree(change, &mut call.terminal)?;
    }
    Ok(selected)
}

/// Changes each of the keys. `change` returns what it did, for example `revoked`. The other keys are changed
/// even if one fails or the output can't be written.
///
/// # Errors
/// Some changes failed, and each failure was printed; the failure of a single key is returned unchanged. Or
/// all keys were changed, but the output could not be written.
pub(super) async fn each<T: Display>(
    call: &mut Invocation,
    selected: Selected,
    doing: &'static str,
    change: impl AsyncFn(&ApiKey) -> Result<T, Failure>,
) -> Result<(), Failure> {
    let Selected {
        keys,
        missing,
        unreadable,
    } = selected;
    let count = keys.len() + missing.len() + unreadable.len();
    if count == 0 {
        call.terminal.note("No resources found.");
        return Ok(());
    }
    let bar = call.terminal.bar(keys.len(), doing);
    let mut failures = Vec::new();
    let mut written = Ok(());
    let change = &change;
    let changes = keys
        .iter()
        .map(|key| async move { (key, change(key).await) });
    let mut done = stream::iter(changes).buffered(AT_ONCE);
    while let Some((key, result)) = done.next().await {
        bar.inc(1);
        let name = key::name(key);
        match result {
            Ok(what) => {
                let line = program::with_name(&format!("apikey/{name} {what}"), &call.program);
                written = written.and_then(|()| bar.suspend(|| call.terminal.print(line)));
            }
            Err(failure) => {
                let failure = failure.about(&format!("apikey/{name}"));
                bar.suspend(|| print(&failure, count, call));
                failures.push(failure);
            }
        }
    }
    bar.finish_and_clear();
    for name in missing {
        let failure = Failure::not_found(format!("apikey/{name}: not found"));
        print(&failure, count, call);
        failures.push(failure);
    }
    for key in &unreadable {
        let failure = pages::unreadable(key);
        print(&failure, count, call);
        failures.push(failure);
    }
    summary(failures, count).and(written)
}

/// Prints one of several failures. A single failure is printed at the end of the call.
fn print(failure: &Failure, count: usize, call: &mut Invocation) {
    if count > 1 {
        call.terminal
            .note(program::with_name(failure.message(), &call.program));
    }
}

fn summary(mut failures: Vec<Failure>, count: usize) -> Result<(), Failure> {
    let failed = failures.len();
    match failures.pop() {
        None => Ok(()),
        Some(failure) if count == 1 => Err(failure),
        Some(_) => Err(Failure::failed(format!(
            "{failed} of {count} failed: see the messages above"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn a_single_failure_is_that_of_the_call_and_many_are_one() {
        assert!(summary(Vec::new(), 3).is_ok());
        let gone = || Failure::not_found("gone");
        assert_eq!(summary(vec![gone()], 1).unwrap_err().exit(), Exit::NotFound);
        let many = summary(vec![gone(), gone()], 3).unwrap_err();
        assert_eq!(
            (many.exit(), many.message()),
            (Exit::Failed, "2 of 3 failed: see the messages above")
        );
    }
}
