//! Reads of a controller's metrics.

use std::time::{Duration, Instant};

use crate::common::operator::Operator;

impl Operator {
    /// Reads all metrics once, as Prometheus does. Returns the size and the time.
    pub(crate) fn scrape(&self) -> (usize, Duration) {
        let begun = Instant::now();
        let text = self.get("/metrics").expect("the metrics");
        (text.len(), begun.elapsed())
    }
}
