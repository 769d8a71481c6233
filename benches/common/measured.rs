//! Measurements, and counts that must be zero.

use std::process::ExitCode;

use crate::common::report::progress;

/// One measurement.
pub(crate) struct Measured {
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    pub(crate) value: f64,
    /// Whether any other value is a defect.
    pub(crate) must_be_zero: bool,
}

/// All measurements of a run.
#[derive(Default)]
pub(crate) struct Measurements(pub(crate) Vec<Measured>);

impl Measurements {
    /// Adds a measurement.
    pub(crate) fn note(&mut self, what: impl Into<String>, unit: &'static str, value: f64) {
        self.push(what.into(), unit, value, false);
    }

    /// Adds a count of events that must not happen.
    pub(crate) fn must_be_zero(&mut self, what: impl Into<String>, count: u32) {
        self.push(what.into(), "", count.into(), true);
    }

    fn push(&mut self, what: String, unit: &'static str, value: f64, must_be_zero: bool) {
        progress(&format!("{what}: {}", show(value, unit)));
        self.0.push(Measured {
            what,
            unit,
            value,
            must_be_zero,
        });
    }
}

/// Formats a number with about three significant digits.
pub(crate) fn show(value: f64, unit: &str) -> String {
    let digits = match value.abs() {
        size if size.fract() == 0.0 || size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$} {unit}").trim_end().to_owned()
}

/// Success if each count that must be zero is zero. Otherwise prints those that are not.
pub(crate) fn verdict<'a>(runs: impl IntoIterator<Item = &'a Measurements>) -> ExitCode {
    let all = runs.into_iter().flat_map(|run| &run.0);
    let broken = all.filter(|measured| measured.must_be_zero && measured.value != 0.0);
    let violations = broken.map(|Measured { what, value, .. }| {
        eprintln!("must be zero: {what}: {value}");
    });
    ExitCode::from(u8::from(violations.count() > 0))
}
