//! Measures what a token costs: rate, latency and memory of the token server. The server is pinned to one core. The
//! real control plane has many keys.
//!
//! `cargo bench --locked --bench token` measures everything, prints one Markdown table and writes it
//! to `target/bench/token.md`. `-- --quick` does the same with few keys and for short times, to check
//! that the benchmark works. It needs two cores: the first for the server, the second for the load generator.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark fails at the first unexpected result and prints its table"
)]

mod baseline;
mod callers;
#[path = "../common/claims.rs"]
mod claims;
#[path = "../common/mod.rs"]
mod common;
mod cpu;
#[path = "../common/create.rs"]
mod create;
#[path = "../common/forged.rs"]
mod forged;
#[path = "../common/headline.rs"]
mod headline;
#[path = "../common/holder.rs"]
mod holder;
mod load;
#[path = "../common/milliseconds.rs"]
mod milliseconds;
#[path = "../common/percentile.rs"]
mod percentile;
mod pinned;
#[path = "../common/quick.rs"]
mod quick;
#[path = "../common/reconciled.rs"]
mod reconciled;
mod rings;
mod scenarios;
#[path = "../common/server.rs"]
mod server;
mod statistics;
mod table;
#[path = "../common/wire.rs"]
mod wire;

use std::process::ExitCode;

use self::common::report::Report;
use self::scenarios::Sizes;

const SHARED: &str = "The server runs on core 0, the callers on core 1; API server and etcd are idle \
    then, and no controller runs but where it is told. All connections are of this machine.";

fn main() -> ExitCode {
    let quick = match quick::wanted("token") {
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
    common::publish("bench/token", &report, quick, SHARED);
    ExitCode::SUCCESS
}
