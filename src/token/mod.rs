//! The token server.

pub mod openapi {
    //! OpenAPI.
    /// The description.
    #[must_use]
    pub fn json() -> String {
        String::new()
    }
}

use crate::config::{Common, TokenServer};
use crate::process::Process;

/// Runs until the process is stopped.
///
/// # Errors
/// The port can't be opened.
pub async fn run(
    _common: &Common,
    _config: &TokenServer,
    process: &Process,
) -> Result<(), Box<dyn std::error::Error>> {
    process.stopped().await;
    Ok(())
}
