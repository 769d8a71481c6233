//! Helpers that all benchmarks share: a control plane, the operator as a process, the table.
//!
//! The other files of this folder are modules of only those benchmarks that use them.

pub(crate) mod cluster;
pub(crate) mod keys;
pub(crate) mod machine;
pub(crate) mod operator;
pub(crate) mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use self::report::Report;

/// The arguments, without the one that cargo adds.
///
/// # Errors
/// The exit code, if there is nothing to measure.
pub(crate) fn arguments() -> Result<Vec<String>, ExitCode> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if arguments.is_empty() {
        // `cargo test --all-targets` runs benchmarks without the flag, to check that they build.
        return Err(ExitCode::SUCCESS);
    }
    Ok(arguments.into_iter().filter(|a| a != "--bench").collect())
}

/// Prints the table and writes it to `NAME.md` in cargo's target folder. Writes the rows of the summary to
/// `NAME.headlines.md`.
pub(crate) fn publish(name: &str, report: &Report, quick: bool, shared: &str) {
    let text = report.markdown(quick, shared);
    print!("{text}");
    std::fs::write(output(&format!("{name}.md")), text).unwrap();
    let headlines = output(&format!("{name}.headlines.md"));
    std::fs::write(headlines, report.headlines()).unwrap();
}

/// The path of this file in cargo's target folder. Creates the parent folder.
pub(crate) fn output(file: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    path
}
