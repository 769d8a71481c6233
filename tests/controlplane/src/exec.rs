//! `controlplane exec`.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitCode, ExitStatus};
use std::thread;
use std::time::Duration;

use controlplane::ControlPlane;
use rustix::process::{Pid, Signal, kill_process};

use crate::complain;
use crate::signals::Signals;

const NOT_STARTED: u8 = 125;
const NOT_RUNNABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

const LOOK_EVERY: Duration = Duration::from_millis(10);

pub(crate) fn run(command: &[OsString]) -> ExitCode {
    let Some((program, arguments)) = command.split_first() else {
        return ExitCode::from(2);
    };
    let plane = match ControlPlane::start() {
        Ok(plane) => plane,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::from(NOT_STARTED);
        }
    };
    let mut signals = match Signals::catch() {
        Ok(signals) => signals,
        Err(error) => {
            complain(&format!("cannot catch signals: {error}"));
            return ExitCode::from(NOT_STARTED);
        }
    };
    let child = plane.command(program).args(arguments).spawn();
    match child.and_then(|child| attend(child, &mut signals)) {
        Ok(status) => ExitCode::from(code(status)),
        Err(error) => {
            complain(&format!("cannot run {}: {error}", program.display()));
            ExitCode::from(if error.kind() == io::ErrorKind::NotFound {
                NOT_FOUND
            } else {
                NOT_RUNNABLE
            })
        }
    }
}

/// Waits for the child and forwards signals. One thread does both, so that no signal goes to a
/// process id that the child no longer has.
fn attend(mut child: Child, signals: &mut Signals) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        for number in signals.take_forwardable() {
            if let (Some(pid), Some(signal)) = (
                Pid::from_raw(child.id().cast_signed()),
                Signal::from_named_raw(number),
            ) {
                let _ = kill_process(pid, signal);
            }
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn code(status: ExitStatus) -> u8 {
    let number = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    number
        .and_then(|number| u8::try_from(number).ok())
        .unwrap_or(1)
}
