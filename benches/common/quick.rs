//! Benchmarks that have a quick run.

use std::process::ExitCode;

use crate::common;

/// Whether this is to be a quick run.
///
/// # Errors
/// The exit code, if nothing is to be measured.
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
