//! Measures how the resources of the operator grow with the number of keys. Controller and token server run as
//! processes, on a new control plane for each number.
//!
//! `cargo bench --locked --bench scale -- 1000 10000` measures with these numbers of keys, prints one
//! Markdown table and writes it to `target/scale/report.md`. With two or more numbers it also shows how
//! each measurement grows. It fails if a count that must be zero is not.
//!
//! `-- large 200` measures memory with 200 objects of each kind, each as large as the API server accepts, and writes
//! `target/scale/large.md`. `-- streams 10000 5` measures restarts with 10000 keys, in 5 pairs with and without lists
//! that come as a stream, and writes `target/scale/streams.md`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark fails at the first unexpected result and prints its table"
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
mod large;
#[path = "../common/measured.rs"]
mod measured;
#[path = "../common/percentile.rs"]
mod percentile;
#[path = "../common/raw.rs"]
mod raw;
#[path = "../common/reconciled.rs"]
mod reconciled;
#[path = "../common/requests.rs"]
mod requests;
mod scenarios;
#[path = "../common/server.rs"]
mod server;
#[path = "../common/sightings.rs"]
mod sightings;
mod streams;
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
    let Some(wanted) = Wanted::parse(&arguments) else {
        eprintln!(
            "usage: cargo bench --locked --bench scale -- KEYS... | large OBJECTS | streams KEYS PAIRS"
        );
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    match wanted {
        Wanted::Growth(sizes) => {
            let mut report = growth::report(&sizes);
            let mut runs = Vec::new();
            for keys in &sizes {
                progress(&format!("Starting a control plane for {keys} keys"));
                runs.push(runtime.block_on(scenarios::run(*keys, &mut report)));
            }
            growth::fill(&sizes, &runs, &mut report);
            common::publish("scale/report", &report, false, SHARED);
            measured::verdict(&runs)
        }
        Wanted::Large(count) => {
            let mut report = large::report();
            let measured = runtime.block_on(large::run(count, &mut report));
            common::publish("scale/large", &report, false, SHARED);
            measured::verdict([&measured])
        }
        Wanted::Streams { keys, pairs } => {
            let mut report = streams::report();
            runtime.block_on(streams::run(keys, pairs, &mut report));
            common::publish("scale/streams", &report, false, SHARED);
            ExitCode::SUCCESS
        }
    }
}

/// What to measure.
enum Wanted {
    Growth(Vec<u32>),
    Large(usize),
    Streams { keys: u32, pairs: usize },
}

impl Wanted {
    fn parse(arguments: &[String]) -> Option<Self> {
        let (word, numbers) = match arguments {
            [word, numbers @ ..] if word.parse::<u32>().is_err() => (word.as_str(), numbers),
            numbers => ("", numbers),
        };
        let numbers: Result<Vec<u32>, _> = numbers.iter().map(|number| number.parse()).collect();
        let numbers = numbers.ok().filter(|numbers| !numbers.contains(&0))?;
        match (word, &numbers[..]) {
            ("", [_, ..]) => Some(Self::Growth(numbers)),
            ("large", [count]) => Some(Self::Large(usize::try_from(*count).ok()?)),
            ("streams", &[keys, pairs]) => Some(Self::Streams {
                keys,
                pairs: usize::try_from(pairs).ok()?,
            }),
            _ => None,
        }
    }
}
