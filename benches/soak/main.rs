//! Runs the operator under a steady load with faults. Controller and token server run as processes, on their own
//! control plane.
//!
//! `cargo bench --locked --bench soak -- 30` runs for 30 minutes. Owners create, rotate, change and delete keys.
//! Consumers ask for tokens all the time. Floods of forged secrets arrive, processes are killed, and the API server
//! restarts. A hostile tenant writes large objects, and objects that only the API server can read. The report is
//! printed and written to `target/soak/report.md`, with pictures beside it. The run fails if a count that must be
//! zero is not.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark fails at the first unexpected result and prints its table"
)]

mod caller;
mod changes;
#[path = "../common/claims.rs"]
mod claims;
#[path = "../common/mod.rs"]
mod common;
mod consumers;
mod deliveries;
mod faults;
#[path = "../common/fit.rs"]
mod fit;
mod flood;
#[path = "../common/forged.rs"]
mod forged;
#[path = "../common/holder.rs"]
mod holder;
mod hostile;
mod hostile_object;
mod ledger;
#[path = "../common/measured.rs"]
mod measured;
mod neighbour;
mod plots;
#[path = "../common/raw.rs"]
mod raw;
mod run;
mod samples;
#[path = "../common/server.rs"]
mod server;
mod settled;
mod site;
mod summary;
#[path = "../common/wire.rs"]
mod wire;
mod world;

use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let arguments = match common::arguments() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let minutes = match &arguments[..] {
        [minutes] => minutes.parse().ok().filter(|minutes| *minutes > 0),
        _ => None,
    };
    let Some(minutes) = minutes else {
        eprintln!("usage: cargo bench --locked --bench soak -- MINUTES");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let measured = runtime.block_on(run::soak(Duration::from_mins(minutes)));
    measured::verdict([&measured])
}
