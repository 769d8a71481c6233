//! Generates the `OpenAPI` description of the token server.

use std::path::Path;

use anyhow::Result;

use crate::output::Generated;
use crate::program;

/// Generates `docs/openapi.json`.
pub(crate) fn generate(root: &Path) -> Result<Vec<Generated>> {
    let text = program::output(root, "apikey-operator", &["openapi"])?;
    Ok(vec![Generated::file("docs/openapi.json", text)])
}
