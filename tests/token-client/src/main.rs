//! A consumer for `make e2e`: it periodically requests a token with the Secret that is mounted at FOLDER, and
//! prints the results to standard output.
//!
//! Each time it sends two requests: over a kept connection like a service, and over a new one like a script.
//! Every half second it prints a line of JSON with the results since the previous line. For each answer without a
//! token it prints one line with the reason.

mod ask;
mod tally;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::ask::{Asker, Outcome};
use crate::tally::PhaseCounts;

/// The time between two lines with counts.
const REPORT: Duration = Duration::from_millis(500);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(every)) = (arguments.next(), arguments.next()) else {
        let _ = writeln!(io::stderr(), "usage: token-client FOLDER MILLISECONDS");
        return ExitCode::from(2);
    };
    let Ok(every) = every.parse() else {
        let _ = writeln!(
            io::stderr(),
            "token-client: not a number of milliseconds: {every}"
        );
        return ExitCode::from(2);
    };
    match run(folder.into(), Duration::from_millis(every)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "token-client: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(folder: PathBuf, every: Duration) -> Result<(), Box<dyn std::error::Error>> {
    let askers = [Asker::keeping(folder.clone())?, Asker::connecting(folder)?];
    let (done, mut outcomes) = mpsc::unbounded_channel();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut ask = interval(every);
    ask.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut report = interval(REPORT);
    let mut tally = PhaseCounts::default();
    loop {
        tokio::select! {
            _ = ask.tick() => for asker in &askers {
                let (asker, done) = (asker.clone(), done.clone());
                tokio::spawn(async move {
                    let began = Instant::now();
                    let outcome = asker.ask().await;
                    let _ = done.send((asker.way(), outcome, began.elapsed()));
                });
            },
            Some((way, outcome, took)) = outcomes.recv() => {
                tally.count(&outcome, took);
                if let Outcome::Refused(why) | Outcome::Failed(why) = outcome {
                    print(&json!({"at": now(), "way": way, "problem": why}))?;
                }
            }
            _ = report.tick() => print(&std::mem::take(&mut tally).line(now()))?,
            _ = terminate.recv() => return print(&tally.line(now())).map_err(Into::into),
        }
    }
}

fn print(line: &Value) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

/// Milliseconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "the lines have the machine's time"
)]
fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |time| {
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
    })
}
