//! The table of this benchmark.

use crate::common::report::Report;

pub(crate) type Table = Report;

/// Titles of its columns.
pub(crate) const TITLES: [&str; 3] = ["Measured", "Result", "Aim"];

impl Table {
    /// Adds a row. `aim` is empty if there is no aim.
    pub(crate) fn row(&mut self, what: impl Into<String>, result: impl Into<String>, aim: &str) {
        self.add(vec![what.into(), result.into(), aim.to_owned()]);
    }
}
