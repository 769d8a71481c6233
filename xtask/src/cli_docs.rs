//! Generates the reference of the kubectl plugin.

use std::path::Path;

use anyhow::Result;

use crate::output::Generated;
use crate::program;

/// Generates `docs/cli.md`.
pub(crate) fn generate(root: &Path) -> Result<Vec<Generated>> {
    let text = program::output(root, "kubectl-apikey", &["docs"])?;
    Ok(vec![Generated::file("docs/cli.md", text)])
}
