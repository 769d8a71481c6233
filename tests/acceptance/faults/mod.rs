//! Every fault of every call, by enumeration.
//!
//! A first pass without faults finds the calls of each scenario. Then each call gets each kind of fault in its own
//! case. Each case has its own key, and all keys run at once under one controller. Pairs of faults are sampled.

mod check;
mod enumerate;
mod history;
mod key_state;
mod oracle;
mod run;
mod scenarios;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use self::check::run;
use self::enumerate::{Calls, Case, depth_one, depth_two};
use self::run::{Outcome, look};
use self::scenarios::{SCENARIOS, Scenario};
use crate::support::{Cluster, Fault, Harm, Kind, Sort};

/// The number of cases that run at once.
const BATCH: usize = 320;
/// The number of pairs of faults, unless `FAULTS_PAIRS` is set.
const PAIRS: usize = 300;

/// The calls of scenarios in which nothing goes wrong.
async fn calls(cluster: &Cluster, scenarios: &[Scenario]) -> Calls {
    let (restoring, others): (Vec<Scenario>, Vec<Scenario>) =
        scenarios.iter().partition(|scenario| scenario.restores());
    let mut calls = Calls::new();
    for scenarios in [others, restoring] {
        let cases = scenarios
            .iter()
            .map(|scenario| Case::new(*scenario, Vec::new(), "clean"));
        let cases: Vec<_> = cases.collect();
        if !cases.is_empty() {
            let outcomes = look(cluster, &cases).await.into_iter();
            calls.extend(
                scenarios
                    .into_iter()
                    .zip(outcomes.map(|outcome| outcome.calls)),
            );
        }
    }
    for (scenario, calls) in &calls {
        println!("{scenario:?}: {calls:?}");
        let status_writes = calls.iter().filter(|call| call.sort == Sort::STATUS_WRITE);
        assert!(
            status_writes.count() <= scenario.most_status_writes(),
            "{scenario:?} writes a status without a change"
        );
    }
    calls
}

/// Runs cases in batches. Cases that affect others run separately: a controller restores or does not, and a
/// controller whose watches end lists everything again.
async fn in_batches(cluster: &Cluster, cases: Vec<Case>) -> Vec<(Case, Outcome)> {
    let mut sorts: BTreeMap<_, Vec<Case>> = BTreeMap::new();
    for case in cases {
        let ends_watches = case.faults.iter().any(|fault| fault.kind == Kind::Gone);
        let sort = (case.scenario.restores(), ends_watches);
        sorts.entry(sort).or_default().push(case);
    }
    let all: usize = sorts.values().map(Vec::len).sum();
    let mut results = Vec::new();
    for cases in sorts.into_values() {
        let batches = cases.len().div_ceil(BATCH);
        for batch in cases.chunks(cases.len().div_ceil(batches)) {
            let outcomes = run(cluster, batch).await;
            results.extend(batch.iter().cloned().zip(outcomes));
            println!("{} of {all} cases came to their end", results.len());
        }
    }
    results
}

/// Checks that every kind of fault happened, and that every scenario had one. A layer that recognizes no call would
/// cause no fault.
fn assert_all_met(results: &[(Case, Outcome)]) {
    let kinds = |case: &Case| {
        case.faults
            .iter()
            .map(|fault| fault.kind)
            .collect::<Vec<_>>()
    };
    let all = results.iter().map(|(case, _)| case);
    let met = results.iter().filter(|(_, outcome)| outcome.happened > 0);
    let met = met.map(|(case, _)| case);
    let scenarios = |case: &Case| case.scenario;
    assert_eq!(
        met.clone().map(scenarios).collect::<BTreeSet<_>>(),
        all.clone().map(scenarios).collect()
    );
    assert_eq!(
        met.flat_map(kinds).collect::<BTreeSet<_>>(),
        all.flat_map(kinds).collect()
    );
}

/// Whether a fault takes no time, so that it is part of the usual tests.
fn is_quick(fault: &Fault) -> bool {
    match fault.kind {
        Kind::Before(harm) | Kind::After(harm) => !matches!(harm, Harm::Silence | Harm::Late),
        Kind::Answer(code) => code == 409,
        Kind::Events(_) | Kind::Gone => false,
    }
}

async fn quick_ones(restoring: bool) {
    let begun = Instant::now();
    let cluster = Cluster::start();
    let scenarios = SCENARIOS
        .into_iter()
        .filter(|scenario| scenario.restores() == restoring);
    let calls = calls(&cluster, &scenarios.collect::<Vec<_>>()).await;
    let mut cases = depth_one(&calls);
    cases.retain(|case| case.faults.iter().all(is_quick));
    let results = in_batches(&cluster, cases).await;
    table::print("One fault", &calls, &results, begun.elapsed());
    assert_all_met(&results);
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_a_process_dies_or_loses_an_answer_every_key_comes_to_its_end() {
    quick_ones(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_a_restore_is_interrupted_every_key_is_adopted() {
    quick_ones(true).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make faults"]
async fn whatever_goes_wrong_with_any_call_every_key_comes_to_its_end_and_stays_there() {
    let begun = Instant::now();
    let cluster = Cluster::start();
    let calls = calls(&cluster, &SCENARIOS).await;
    let results = in_batches(&cluster, depth_one(&calls)).await;
    table::print("One fault", &calls, &results, begun.elapsed());
    assert_all_met(&results);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make faults"]
async fn whatever_goes_wrong_after_something_went_wrong_every_key_comes_to_its_end() {
    let number = |name: &str| std::env::var(name).ok()?.parse().ok();
    let seed: u64 = number("FAULTS_SEED").unwrap_or_else(|| std::process::id().into());
    let pairs = number("FAULTS_PAIRS").map_or(PAIRS, |pairs| usize::try_from(pairs).unwrap());
    println!("FAULTS_SEED={seed} FAULTS_PAIRS={pairs}");
    let begun = Instant::now();
    let cluster = Cluster::start();
    let calls = calls(&cluster, &SCENARIOS).await;
    let results = in_batches(&cluster, depth_two(&calls, pairs, seed)).await;
    let title = format!("Two faults, {pairs} pairs, seed {seed}");
    table::print(&title, &calls, &results, begun.elapsed());
    assert_all_met(&results);
}
