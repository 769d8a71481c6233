//! The table of the enumerated faults.

use std::collections::BTreeMap;
use std::time::Duration;

use super::enumerate::{Calls, Case, KINDS};
use super::run::Outcome;
use super::scenarios::Scenario;

/// Prints a line for each scenario, and each fault that could not happen.
pub(super) fn print(title: &str, calls: &Calls, results: &[(Case, Outcome)], took: Duration) {
    let mut scenarios: BTreeMap<Scenario, (usize, usize)> = BTreeMap::new();
    for (case, outcome) in results {
        let (cases, happened) = scenarios.entry(case.scenario).or_default();
        *cases += 1;
        let is_whole = outcome.happened == case.faults.len();
        *happened += usize::from(is_whole);
        if !is_whole && case.faults.len() == 1 {
            println!("could not happen: {:?}, {:?}", case.scenario, case.faults);
        }
    }
    println!("{title}");
    println!(
        "{:<20}{:>7}{:>7}{:>7}{:>10}",
        "scenario", "calls", "kinds", "cases", "happened"
    );
    let mut total = (0, 0);
    for (scenario, (cases, happened)) in scenarios {
        let calls = calls[&scenario].len();
        let scenario = format!("{scenario:?}");
        println!("{scenario:<20}{calls:>7}{KINDS:>7}{cases:>7}{happened:>10}");
        total = (total.0 + cases, total.1 + happened);
    }
    let (cases, happened) = total;
    println!(
        "{:<34}{cases:>7}{happened:>10}  in {} s",
        "all",
        took.as_secs()
    );
}
