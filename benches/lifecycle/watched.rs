//! What a controller tells of itself.

use std::time::{Duration, Instant};

use crate::common::operator::Operator;

impl Operator {
    /// Reads all metrics once, as Prometheus does.
    pub(crate) fn scrape(&self) -> (usize, Duration) {
        let begun = Instant::now();
        let text = self.get("/metrics").expect("the metrics");
        (text.len(), begun.elapsed())
    }
}
