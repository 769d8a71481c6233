//! What the tests share.

use std::error::Error;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) type Outcome = Result<(), Box<dyn Error>>;

/// The program of this crate.
pub(crate) const COMMAND: &str = env!("CARGO_BIN_EXE_controlplane");

/// Runs a command that must succeed, and returns its trimmed output.
pub(crate) fn run(command: &mut Command) -> Result<String, Box<dyn Error>> {
    let output = command.output()?;
    if output.status.success() {
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    } else {
        Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
    }
}

/// The address of a server URL, without the scheme.
pub(crate) fn address(url: &str) -> &str {
    url.trim_start_matches("https://")
}

pub(crate) fn within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    while Instant::now() < end {
        if condition() {
            return true;
        }
        thread::sleep(Duration::from_millis(20));
    }
    condition()
}
