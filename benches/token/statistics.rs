//! Welch's t-test: is one series of times longer than another?

/// The part of the samples that is kept when outliers are cut off.
const KEPT: f64 = 0.9;

/// Welch's t of two series. Beyond 4.5 the means differ (the threshold of dudect).
pub(crate) fn welch(a: &[f64], b: &[f64]) -> f64 {
    let error = |series: &[f64]| variance(series) / length(series);
    (mean(a) - mean(b)) / (error(a) + error(b)).sqrt()
}

/// Both series without the samples above the 90th percentile of all samples. Interruptions of the machine would hide
/// small differences.
pub(crate) fn cropped(a: &[f64], b: &[f64]) -> [Vec<f64>; 2] {
    let all = [a, b].concat();
    let highest = quantile(&all, KEPT);
    let kept = |series: &[f64]| series.iter().copied().filter(|&x| x <= highest).collect();
    [kept(a), kept(b)]
}

pub(crate) fn mean(series: &[f64]) -> f64 {
    series.iter().sum::<f64>() / length(series)
}

pub(crate) fn median(series: &[f64]) -> f64 {
    quantile(series, 0.5)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in the series"
)]
fn quantile(series: &[f64], part: f64) -> f64 {
    let mut sorted = series.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((length(series) - 1.0) * part) as usize]
}

fn variance(series: &[f64]) -> f64 {
    let mean = mean(series);
    let squares = series.iter().map(|x| (x - mean).powi(2));
    squares.sum::<f64>() / (length(series) - 1.0)
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
const fn length(series: &[f64]) -> f64 {
    series.len() as f64
}
