//! The table of this benchmark.

use crate::common::report::Report;

pub(crate) type Table = Report<3>;

/// Titles of its columns.
pub(crate) const TITLES: [&str; 3] = ["Measured", "Result", "Aim"];

impl Table {
    /// Adds a row; `aim` is empty where there is none.
    pub(crate) fn row(&mut self, what: impl Into<String>, result: impl Into<String>, aim: &str) {
        self.add([what.into(), result.into(), aim.to_owned()]);
    }
}
