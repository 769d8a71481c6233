//! Converts entries to lines, and floods to numbers, and writes them.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use super::entry::Entry;

/// Entries of one kind that are written individually, per second.
pub(super) const EACH_PER_SECOND: u64 = 10;
/// Wait before a blocked output is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(10);

/// Lines to write, and counts to report.
#[derive(Debug, Default)]
pub(super) struct Lines {
    second: i64,
    floods: BTreeMap<(&'static str, &'static str), u64>,
    last: Option<(Timestamp, &'static str)>,
    bytes: Vec<u8>,
    /// Lost lines that no line reports yet, by reason.
    lost: BTreeMap<&'static str, u64>,
    /// Whether a line was written in part.
    is_torn: bool,
}

/// A line that represents several entries.
#[derive(Serialize)]
struct Number {
    time: Time,
    action: &'static str,
    reason: &'static str,
    count: u64,
    source: &'static str,
}

/// Lines could not be written.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) lines: u64,
    pub(super) error: io::Error,
}

impl Lines {
    pub(super) fn add(&mut self, entry: &dyn Entry) {
        let at = entry.at();
        if at.as_second() != self.second {
            self.report_floods();
            self.second = at.as_second();
        }
        self.last = Some((at, entry.source()));
        if let Some(kind) = entry.flood() {
            let count = self.floods.entry(kind).or_default();
            *count += 1;
            if *count > EACH_PER_SECOND {
                return;
            }
        }
        let before = self.bytes.len();
        match entry.append_to(&mut self.bytes) {
            Ok(()) => self.bytes.push(b'\n'),
            Err(error) => {
                self.bytes.truncate(before);
                tracing::error!(%error, "An audit line can't be serialized");
            }
        }
    }

    /// Reports how many entries of a flood were not written individually.
    pub(super) fn report_floods(&mut self) {
        for ((action, reason), count) in std::mem::take(&mut self.floods) {
            let more = count.saturating_sub(EACH_PER_SECOND);
            self.bytes.extend(self.number(action, reason, more));
        }
    }

    /// Records lost lines, which are reported once lines can be written.
    pub(super) fn lost(&mut self, reason: &'static str, count: u64) {
        if count > 0 {
            *self.lost.entry(reason).or_default() += count;
        }
    }

    fn number(&self, action: &'static str, reason: &'static str, count: u64) -> Vec<u8> {
        let Some((at, source)) = self.last.filter(|_| count > 0) else {
            return Vec::new();
        };
        let number = Number {
            time: Time(at),
            action,
            reason,
            count,
            source,
        };
        let mut line = serde_json::to_vec(&number).unwrap_or_default();
        line.push(b'\n');
        line
    }

    /// Writes all lines; returns whether there were any. Lines that can't be written are dropped.
    pub(super) fn write_to(&mut self, output: &mut impl Write) -> Result<bool, Failed> {
        let lines = std::mem::take(&mut self.bytes);
        let mut is_any = !lines.is_empty();
        if let Err(failed) = self.write(output, &lines) {
            self.lost("WriteFailed", failed.lines);
            return Err(failed);
        }
        while let Some((reason, count)) = self.lost.pop_first() {
            let line = self.number("Lost", reason, count);
            if self.write(output, &line).is_err() {
                self.lost(reason, count);
                break;
            }
            is_any = true;
        }
        // Keeps the capacity that normal load needs.
        self.bytes = lines;
        self.bytes.clear();
        self.bytes.shrink_to(1 << 20);
        Ok(is_any)
    }

    fn write(&mut self, output: &mut impl Write, lines: &[u8]) -> Result<(), Failed> {
        if lines.is_empty() {
            return Ok(());
        }
        if self.is_torn {
            write(output, b"\n").map_err(|(_, error)| failed(lines, error))?;
            self.is_torn = false;
        }
        write(output, lines).map_err(|(written, error)| {
            self.is_torn = written > 0 && lines[written - 1] != b'\n';
            let whole = lines[..written].iter().rposition(|byte| *byte == b'\n');
            failed(&lines[whole.map_or(0, |end| end + 1)..], error)
        })
    }
}

fn failed(unwritten: &[u8], error: io::Error) -> Failed {
    let lines = unwritten.split(|byte| *byte == b'\n').count() - 1;
    Failed {
        lines: u64::try_from(lines).unwrap_or(u64::MAX),
        error,
    }
}

/// Writes all bytes; on failure, returns how many were written.
fn write(output: &mut impl Write, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while written < bytes.len() {
        match output.write(&bytes[written..]) {
            Ok(0) => return Err((written, ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Another process that shares the pipe made it non-blocking.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(TRY_AGAIN);
            }
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}
