//! Measures what a key costs: rate, latency, API requests, memory, restart and expiry. It runs the real
//! operator against a real control plane.
//!
//! `cargo bench --locked --bench lifecycle` measures everything, prints one Markdown table and
//! writes it to `target/bench/lifecycle.md`. `-- --quick` does the same with few keys, to check
//! that the benchmark works.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark fails at the first unexpected result and prints its table"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/create.rs"]
mod create;
#[path = "../common/headline.rs"]
mod headline;
#[path = "../common/milliseconds.rs"]
mod milliseconds;
#[path = "../common/percentile.rs"]
mod percentile;
#[path = "../common/quick.rs"]
mod quick;
#[path = "../common/reconciled.rs"]
mod reconciled;
#[path = "../common/requests.rs"]
mod requests;
mod scenarios;
#[path = "../common/sightings.rs"]
mod sightings;
mod table;
mod watched;

use std::process::ExitCode;

use self::common::report::Report;
use self::scenarios::Sizes;

const SHARED: &str = "API server, etcd, operator and this program share it.";

fn main() -> ExitCode {
    let quick = match quick::wanted("lifecycle") {
        Ok(quick) => quick,
        Err(code) => return code,
    };
    let sizes = if quick { Sizes::QUICK } else { Sizes::FULL };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut report = Report::new(&table::TITLES);
    runtime.block_on(scenarios::run(&sizes, &mut report));
    common::publish("bench/lifecycle", &report, quick, SHARED);
    ExitCode::SUCCESS
}
