//! The table of this benchmark.

use std::fmt::Write as _;
use std::time::Duration;

use crate::common::report::Report;
use crate::load::Outcome;
use crate::load::tally::PhaseCounts;
use crate::server::Server;

pub(crate) type Table = Report;

/// Titles of its columns.
pub(crate) const TITLES: [&str; 5] = ["Measured", "Result", "Resident memory", "Bound", "Aim"];

impl Table {
    /// Adds a row. Cells that don't apply are empty.
    pub(crate) fn row(
        &mut self,
        what: impl Into<String>,
        result: impl Into<String>,
        memory: impl Into<String>,
        bound: impl Into<String>,
        aim: &str,
    ) {
        let (what, result, memory) = (what.into(), result.into(), memory.into());
        self.add(vec![what, result, memory, bound.into(), aim.to_owned()]);
    }

    /// Adds a row to the summary, with the rate and the times.
    pub(crate) fn headline_rate(&mut self, what: &str, outcome: &Outcome, row: &Rate<'_>) {
        let rate = outcome.rate(0, row.status);
        let result = format!("{rate:.0}/s, {}", times(&outcome.tallies[0]));
        self.headline(what, result, row.bound(rate), row.aim);
    }

    /// Adds a row for the responses of the first group with this status.
    pub(crate) fn rate(&mut self, what: &str, outcome: &Outcome, row: &Rate<'_>) {
        let rate = outcome.rate(0, row.status);
        let (times, cores) = (times(&outcome.tallies[0]), cores(outcome));
        let lost = match row.server.audit_lines_lost() {
            lost if lost > 0.0 => format!(", {lost} audit lines lost"),
            _ => String::new(),
        };
        self.row(
            what,
            format!("{rate:.0}/s, {times}{lost}; {cores}"),
            row.server.memory().to_string(),
            row.bound(rate),
            row.aim,
        );
    }
}

/// The parts of a row that are not in the outcome.
pub(crate) struct Rate<'a> {
    pub(crate) status: u16,
    pub(crate) server: &'a Server,
    /// What bounds the rate, and the bound per second.
    pub(crate) bound: Option<(&'a str, f64)>,
    pub(crate) aim: &'a str,
}

impl Rate<'_> {
    /// The bound, and the part of it that was reached. Empty without a bound.
    fn bound(&self, rate: f64) -> String {
        let bound = self.bound.map(|(name, bound)| {
            let part = rate / bound;
            format!("{name} {bound:.0}/s: {part:.2}")
        });
        bound.unwrap_or_default()
    }
}

/// Percentiles of the times, and the responses by status if there is more than one.
pub(crate) fn times(tally: &PhaseCounts) -> String {
    let percentile = |percent| short(tally.percentile(percent));
    let mut text = format!("p50 {}, p99 {}", percentile(50.0), percentile(99.0));
    if tally.answers.len() > 1 {
        let _ = write!(text, ", answers {:?}", tally.answers);
    }
    if tally.broken > 0 {
        let _ = write!(text, ", {} connections failed", tally.broken);
    }
    text
}

/// The use of the cores by server and load generator.
pub(crate) fn cores(outcome: &Outcome) -> String {
    let Outcome {
        server, generator, ..
    } = outcome;
    format!("server {server} of its core, callers {generator} of theirs")
}

/// A duration with a fitting unit.
pub(crate) fn short(duration: Duration) -> String {
    let us = duration.as_secs_f64() * 1e6;
    if us < 1000.0 {
        format!("{us:.1} us")
    } else {
        format!("{:.2} ms", us / 1e3)
    }
}
