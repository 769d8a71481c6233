//! `suspend` and `resume`: disable keys and enable them again, without deleting anything.

use clap::Args;

use super::exit::Failure;
use super::invocation::Invocation;
use super::select::Selection;
use super::{bulk, gitops, key, patch};

/// Suspend keys: no token is issued for them until they are resumed.
///
/// Nothing is deleted. `/authz` and introspection refuse tokens of the keys at once. A service that checks
/// only the signature accepts a token until it expires. The expiry of a key stays the same.
#[derive(Args, Debug)]
#[command(after_help = SUSPEND_EXAMPLES)]
pub(super) struct Suspend {
    #[command(flatten)]
    selection: Selection,
}

/// Resume suspended keys.
#[derive(Args, Debug)]
#[command(after_help = RESUME_EXAMPLES)]
pub(super) struct Resume {
    #[command(flatten)]
    selection: Selection,
}

const SUSPEND_EXAMPLES: &str = "\
Examples:
  Suspend one key during an investigation:
    kubectl apikey suspend ci-upload

  Suspend all keys of a team, or all of an organization in this namespace:
    kubectl apikey suspend -l team=web
    kubectl apikey suspend --all --org acme";

const RESUME_EXAMPLES: &str = "\
Examples:
  One:
    kubectl apikey resume ci-upload

  All of a team:
    kubectl apikey resume -l team=web";

pub(super) async fn suspend(flags: &Suspend, call: &mut Invocation) -> Result<(), Failure> {
    set(&flags.selection, call, true).await
}

pub(super) async fn resume(flags: &Resume, call: &mut Invocation) -> Result<(), Failure> {
    set(&flags.selection, call, false).await
}

async fn set(selection: &Selection, call: &mut Invocation, suspended: bool) -> Result<(), Failure> {
    let cluster = call.cluster().await?;
    let selected = selection.read(&cluster).await?;
    for key in &selected.keys {
        if let Some(tool) = gitops::keeper(&key.metadata) {
            let name = key::name(key);
            call.terminal.warn(gitops::suspension(name, tool));
        }
    }
    let (doing, done) = if suspended {
        ("Suspending", "suspended")
    } else {
        ("Resuming", "resumed")
    };
    bulk::each(call, selected, doing, async |key| {
        if suspended {
            patch::suspend(&cluster, key).await?;
        } else if key.spec.suspended {
            patch::resume(&cluster, key::name(key)).await?;
        }
        let is_changed = key.spec.suspended != suspended;
        Ok(if is_changed { done } else { "unchanged" })
    })
    .await
}
