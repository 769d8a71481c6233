//! The `OpenAPI` description of the token server.

use std::path::Path;

use anyhow::Result;
use apikey_operator::token::openapi;

use crate::output::Generated;

/// `docs/openapi.json`.
#[expect(clippy::unnecessary_wraps, reason = "the signature of all generators")]
pub(crate) fn generate(_root: &Path) -> Result<Vec<Generated>> {
    let text = format!("{}\n", openapi::json(""));
    Ok(vec![Generated::file("docs/openapi.json", text)])
}
