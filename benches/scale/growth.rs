//! The table, with the growth of each measurement by the number of keys.

use crate::common::report::Report;
use crate::fit::Line;
use crate::measured::{Measurements, show};

const CONDITIONS: &str = "N is the number of keys. Hashing is of the least cost \
    (`--argon2-memory-kib=8 --argon2-iterations=1`): what is measured is the operator, and not argon2id. \
    Each number of keys has a control plane of its own.";
const FITS: &str = "\"a + b N\" is the line of least squares, with how far the worst measurement is from it where \
    there are more than two. \"Exponent\" is e of the least squares fit of c N^e: 0 does not grow, 1 \
    grows as the number of keys does.";

/// The measurements that the summary has.
const HEADLINES: [&str; 8] = [
    "From the first create to all Active",
    "Resident memory of the controller, after a restart",
    "Resident memory of the token server, after a restart",
    "From a restart of the controller to all keys reconciled",
    "From a restart of the token server to ready",
    "From a change of the organization to the last status with it",
    "API requests of the controller for each key, until it is at rest",
    "Other API requests of the controller in a minute at rest",
];

/// An empty table with a column for each number of keys.
pub(crate) fn report(sizes: &[u32]) -> Report {
    let mut titles = vec!["Measured".to_owned()];
    titles.extend(sizes.iter().map(|keys| format!("N = {keys}")));
    if sizes.len() > 1 {
        titles.extend(["a + b N", "Exponent"].map(str::to_owned));
    }
    Report::new(&titles)
}

/// Adds a row for each measurement, and some rows to the summary. All runs have the same measurements.
pub(crate) fn fill(sizes: &[u32], runs: &[Measurements], report: &mut Report) {
    for (row, first) in runs[0].0.iter().enumerate() {
        let values = runs.iter().map(|run| run.0[row].value);
        let points: Vec<_> = sizes
            .iter()
            .map(|keys| f64::from(*keys))
            .zip(values)
            .collect();
        let mut cells = vec![first.what.clone()];
        cells.extend(points.iter().map(|(_, value)| show(*value, first.unit)));
        if HEADLINES.contains(&first.what.as_str()) {
            let sizes = sizes.iter().map(ToString::to_string).collect::<Vec<_>>();
            let what = format!("{}, {} keys", first.what, sizes.join(" / "));
            let growth = match exponent(&points) {
                exponent if exponent.is_empty() => exponent,
                exponent => format!("grows as N^{exponent}"),
            };
            report.headline(&what, cells[1..].join(" / "), growth, "");
        }
        if points.len() > 1 {
            cells.extend([line(&points, first.unit), exponent(&points)]);
        }
        report.add(cells);
    }
    assert_eq!(report.headlines.len(), HEADLINES.len());
    report.note(CONDITIONS.to_owned());
    if runs.len() > 1 {
        report.note(FITS.to_owned());
    }
}

fn line(points: &[(f64, f64)], unit: &str) -> String {
    if points.iter().all(|(_, y)| *y == 0.0) {
        return String::new();
    }
    let fitted = Line::through(points);
    let (at_zero, thousand) = (fitted.at(0.0), fitted.slope * 1000.0);
    let text = format!("{} + {} N/1000", show(at_zero, unit), show(thousand, unit));
    let off = points
        .iter()
        .map(|(x, y)| (fitted.at(*x) - y).abs() / y.abs().max(f64::MIN_POSITIVE));
    match off.fold(0.0, f64::max) {
        off if points.len() > 2 && off.is_finite() => format!("{text} (±{:.0} %)", off * 100.0),
        _ => text,
    }
}

fn exponent(points: &[(f64, f64)]) -> String {
    if points.iter().any(|(_, y)| *y <= 0.0) {
        return String::new();
    }
    let logarithms: Vec<_> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    format!("{:.2}", Line::through(&logarithms).slope)
}
