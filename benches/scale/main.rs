//! How the operator grows with the number of keys: controller and token server as processes, on a
//! fresh control plane for each number.
//!
//! `cargo bench --locked --bench scale -- 1000 10000` measures with these numbers of keys, prints one
//! Markdown table and writes it to `target/scale/report.md`. From two numbers on it says how each
//! measurement grows. It fails if something that must not happen did.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark stops at the first surprise and prints its table"
)]

#[path = "../common/claims.rs"]
mod claims;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/create.rs"]
mod create;
#[path = "../common/fit.rs"]
mod fit;
mod growth;
#[path = "../common/headline.rs"]
mod headline;
#[path = "../common/holder.rs"]
mod holder;
#[path = "../common/measured.rs"]
mod measured;
#[path = "../common/percentile.rs"]
mod percentile;
#[path = "../common/reconciled.rs"]
mod reconciled;
#[path = "../common/requests.rs"]
mod requests;
mod scenarios;
#[path = "../common/server.rs"]
mod server;
#[path = "../common/sightings.rs"]
mod sightings;
#[path = "../common/wire.rs"]
mod wire;

use std::process::ExitCode;

use self::common::report::progress;

const SHARED: &str = "API server, etcd, controller, token server and this program share it.";

fn main() -> ExitCode {
    let arguments = match common::arguments() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let sizes: Result<Vec<u32>, _> = arguments.iter().map(|keys| keys.parse()).collect();
    let Some(sizes) = sizes
        .ok()
        .filter(|sizes| !sizes.is_empty() && !sizes.contains(&0))
    else {
        eprintln!("usage: cargo bench --locked --bench scale -- KEYS...");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut report = growth::report(&sizes);
    let mut runs = Vec::new();
    for keys in &sizes {
        progress(&format!("Starting a control plane for {keys} keys"));
        runs.push(runtime.block_on(scenarios::run(*keys, &mut report)));
    }
    growth::tell(&sizes, &runs, &mut report);
    common::publish("scale/report", &report, false, SHARED);
    measured::verdict(&runs)
}
