//! Samples of memory, counts and latency, taken every few seconds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::fit::Line;
use crate::site::Pids;
use crate::world::{Counts, World};

const PERIOD: Duration = Duration::from_secs(2);

/// A sample.
pub(crate) struct Sample {
    /// Time since the start.
    pub(crate) after: Duration,
    /// The resident memory of controller and token server. Unit: MiB.
    pub(crate) memory: [Option<f64>; 2],
    /// The counts so far.
    pub(crate) counts: Counts,
    /// The 99th percentile of response times since the last sample. Unit: milliseconds.
    pub(crate) p99_ms: Option<f64>,
}

/// Takes samples for this time.
pub(crate) async fn take(world: Arc<World>, pids: Pids, time: Duration) -> Vec<Sample> {
    let begun = Instant::now();
    let mut samples = Vec::new();
    let mut tick = tokio::time::interval(PERIOD);
    while begun.elapsed() < time {
        tick.tick().await;
        let memory = pids.memory();
        let mut tally = world.tally.lock();
        let p99 = Duration::from_micros(tally.times.value_at_quantile(0.99));
        samples.push(Sample {
            after: begun.elapsed(),
            memory,
            counts: tally.counts,
            p99_ms: (!tally.times.is_empty()).then_some(p99.as_secs_f64() * 1000.0),
        });
        tally.times.reset();
    }
    samples
}

/// The growth of a process's memory in the second half.
pub(crate) struct Growth {
    /// The slope of the fitted line. Unit: MiB per hour.
    pub(crate) slope: f64,
    /// The growth by that slope in the second half. Unit: MiB.
    pub(crate) grown: f64,
}

/// The growth of the memory of one process.
pub(crate) fn growth(samples: &[Sample], process: usize) -> Growth {
    let half = &samples[samples.len() / 2..];
    let points: Vec<_> = half
        .iter()
        .filter_map(|sample| Some((sample.after.as_secs_f64() / 3600.0, sample.memory[process]?)))
        .collect();
    let line = Line::through(&points);
    Growth {
        slope: line.slope,
        grown: line.at(points[points.len() - 1].0) - line.at(points[0].0),
    }
}
