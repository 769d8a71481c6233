//! Measures how the work of one edit of an Organization grows with the number of Organizations. It needs no cluster.
//! The work is to find the Organizations that must be checked again, and the part of each check that depends on others.
//!
//! `cargo bench --locked --bench organizations -- 100 1000 10000` measures with these numbers and prints one
//! Markdown table. A second column has the work of an operator that checks all of them, up to a number at which that
//! takes long.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark fails at the first unexpected result and prints its table"
)]

use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use apikey_api::{Organization, OrganizationSpec};
use apikey_operator::controller::relations::{Declared, Relations};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;

/// Sub-organizations of each root.
const SUBS: usize = 4;
/// Edits that are measured, spread over all organizations.
const EDITS: usize = 1000;
/// The greatest number with which a check of all is measured.
const MOST_OF_ALL: usize = 2000;

fn main() {
    let arguments = std::env::args().skip(1);
    let mut sizes: Vec<usize> = arguments
        .filter(|argument| argument != "--bench")
        .map(|argument| argument.parse().unwrap())
        .collect();
    if sizes.is_empty() {
        sizes = vec![100, 1000, 10_000];
    }
    println!("| Organizations | An edit | Others looked at | An edit, with a look at all |");
    println!("| --- | --- | --- | --- |");
    for size in sizes {
        let (edit, others) = indexed(size);
        let all = match size {
            0..=MOST_OF_ALL => format!("{:.1?}, {} others", looking_at_all(size), size - 1),
            _ => "not measured".to_owned(),
        };
        println!("| {size} | {edit:.1?} | {others:.2} | {all} |");
    }
}

/// Root organizations, each with its sub-organizations.
fn organizations(size: usize) -> Vec<Organization> {
    let all = (0..size).map(|n| {
        let mut organization = Organization::new(&format!("org-{n}"), OrganizationSpec::default());
        let root = n - n % (SUBS + 1);
        organization.spec.parent = (root != n).then(|| format!("org-{root}"));
        organization.metadata.uid = Some(format!("uid-{n}"));
        let created = Timestamp::from_second(i64::try_from(n).unwrap()).unwrap();
        organization.metadata.creation_timestamp = Some(Time(created));
        organization
    });
    all.collect()
}

/// Measures edits that affect others: they move a root below another one, and back.
fn indexed(size: usize) -> (Duration, f64) {
    let mut all = organizations(size);
    let mut relations = Relations::default();
    for organization in &all {
        relations.declare(&organization.name_any(), Declared::Readable(organization));
    }
    let mut others = 0;
    let begun = Instant::now();
    for n in 0..EDITS {
        let edited = &mut all[n * 7919 % size];
        edited.spec.parent = match edited.spec.parent.take() {
            Some(_) => None,
            None => Some("org-0".to_owned()),
        };
        let edited = &*edited;
        let name = edited.name_any();
        let concerned = relations.declare(&name, Declared::Readable(edited));
        black_box(relations.elder(edited));
        others += concerned.len();
        for other in concerned {
            let other: usize = other.trim_start_matches("org-").parse().unwrap();
            black_box(relations.elder(&all[other]));
        }
    }
    let count = u32::try_from(EDITS).unwrap();
    let others = f64::from(u32::try_from(others).unwrap()) / f64::from(count);
    (begun.elapsed() / count, others)
}

/// Measures one edit after which all are checked. Each check searches all others for an older one with the same id.
fn looking_at_all(size: usize) -> Duration {
    let all: Vec<_> = organizations(size).into_iter().map(Arc::new).collect();
    let age = |o: &Organization| {
        let meta = &o.metadata;
        (
            meta.creation_timestamp.as_ref().map(|time| time.0),
            meta.uid.clone(),
        )
    };
    let begun = Instant::now();
    let queue: BTreeSet<_> = all.iter().map(|other| other.name_any()).collect();
    black_box(queue);
    for organization in &all {
        let id = apikey_policy::organization_id(organization);
        let same = all.iter().filter(|other| {
            apikey_policy::organization_id(other) == id && age(other) < age(organization)
        });
        black_box(same.min_by_key(|other| age(other)));
    }
    begun.elapsed()
}
