//! What the benchmarks share: a control plane, the operator as a process, the table.

pub(crate) mod cluster;
pub(crate) mod keys;
pub(crate) mod machine;
pub(crate) mod operator;
pub(crate) mod report;

use std::path::Path;
use std::process::ExitCode;

/// Whether this is to be a quick run.
///
/// # Errors
/// The exit code, if nothing is to be measured.
pub(crate) fn quick(name: &str) -> Result<bool, ExitCode> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--bench"] => Ok(false),
        ["--quick", "--bench"] | ["--bench", "--quick"] => Ok(true),
        // `cargo test --all-targets` runs benchmarks without the flag, to see that they build.
        [] => Err(ExitCode::SUCCESS),
        _ => {
            eprintln!("usage: cargo bench --locked --bench {name} [-- --quick]");
            Err(ExitCode::from(2))
        }
    }
}

/// Prints the table, and writes it to `target/bench`.
pub(crate) fn publish(name: &str, text: &str) {
    print!("{text}");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!("{name}.md")), text).unwrap();
}
