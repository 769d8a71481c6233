//! What a key costs: rate, latency, API requests, memory, restart and expiry, measured with the real
//! operator against a real control plane.
//!
//! `cargo bench --locked --bench lifecycle` measures everything, prints one Markdown table and
//! writes it to `target/bench/lifecycle.md`. `-- --quick` does the same with few keys, to see that
//! it works.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark stops at the first surprise and prints its table"
)]

mod cluster;
mod keys;
mod machine;
mod operator;
mod report;
mod requests;
mod scenarios;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use self::report::Report;
use self::scenarios::Sizes;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let quick = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--bench"] => false,
        ["--quick", "--bench"] | ["--bench", "--quick"] => true,
        // `cargo test --all-targets` runs benchmarks without the flag, to see that they build.
        [] => return ExitCode::SUCCESS,
        _ => {
            eprintln!("usage: cargo bench --locked --bench lifecycle [-- --quick]");
            return ExitCode::from(2);
        }
    };
    let sizes = if quick { Sizes::QUICK } else { Sizes::FULL };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let begun = Instant::now();
    let mut report = Report::new(machine::describe());
    runtime.block_on(scenarios::run(&sizes, &mut report));
    let text = report.markdown(quick, begun.elapsed());
    print!("{text}");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("lifecycle.md"), text).unwrap();
    ExitCode::SUCCESS
}
