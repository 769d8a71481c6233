//! The flag `--quick` of a benchmark.

use std::process::ExitCode;

use crate::common;

/// Whether a quick run was requested.
///
/// # Errors
/// The exit code, if there is nothing to measure.
pub(crate) fn wanted(name: &str) -> Result<bool, ExitCode> {
    let arguments = common::arguments()?;
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Ok(false),
        ["--quick"] => Ok(true),
        _ => {
            eprintln!("usage: cargo bench --locked --bench {name} [-- --quick]");
            Err(ExitCode::from(2))
        }
    }
}
