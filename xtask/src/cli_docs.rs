//! The reference of the kubectl plugin.

use std::path::Path;

use anyhow::Result;
use apikey_operator::cli;

use crate::output::Generated;

/// `docs/cli.md`.
#[expect(clippy::unnecessary_wraps, reason = "the signature of all generators")]
pub(crate) fn generate(_root: &Path) -> Result<Vec<Generated>> {
    Ok(vec![Generated::file("docs/cli.md", cli::reference())])
}
