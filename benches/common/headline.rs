//! The rows of a benchmark in the summary of `docs/performance.md`; `cargo xtask numbers` picks some for the README.

use crate::common::report::Report;

impl Report {
    /// Adds a row to the summary: what was measured, the result, what it is compared with, and the aim.
    pub(crate) fn headline(
        &mut self,
        what: &str,
        result: impl Into<String>,
        compared: impl Into<String>,
        aim: &str,
    ) {
        let row = [what.into(), result.into(), compared.into(), aim.into()];
        self.headlines.push(row);
    }
}
