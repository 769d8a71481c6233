//! What a token costs: rate, latency and memory of the token server, by itself on one core, against
//! a real control plane with many keys.
//!
//! `cargo bench --locked --bench token` measures everything, prints one Markdown table and writes it
//! to `target/bench/token.md`. `-- --quick` does the same with few keys and for short times, to see
//! that it works. Two cores are needed: the server has the first and whoever asks it the second.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark stops at the first surprise and prints its table"
)]

mod baseline;
mod callers;
#[path = "../common/mod.rs"]
mod common;
mod cpu;
mod load;
mod rings;
mod scenarios;
mod server;
mod statistics;
mod table;

use std::process::ExitCode;

use self::common::report::Report;
use self::scenarios::Sizes;

const SHARED: &str = "The server runs on core 0, the callers on core 1; API server and etcd are idle \
    then, and no controller runs but where it is told. All connections are of this machine.";

fn main() -> ExitCode {
    let quick = match common::quick("token") {
        Ok(quick) => quick,
        Err(code) => return code,
    };
    let sizes = if quick { Sizes::QUICK } else { Sizes::FULL };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut report = Report::new(table::TITLES);
    runtime.block_on(scenarios::run(&sizes, &mut report));
    common::publish("token", &report.markdown(quick, SHARED));
    ExitCode::SUCCESS
}
