//! Tokens after the peppers are lost: argon2id checks each secret once, and the result is cached.

use std::time::{Duration, Instant};

use apikey_credential::{Argon2Cost, hash};

use super::rates::FEW;
use super::{CONNECTIONS, Sizes, issue};
use crate::callers::{forged, requests};
use crate::common::cluster::Cluster;
use crate::holder::Holder;
use crate::load::Group;
use crate::pinned::{NO_BUDGETS, PINNED};
use crate::server::{Server, Servers};
use crate::table::{Rate, Table, cores, times};
use crate::{baseline, cpu, rings};

/// The number of connections: as many as may wait for one hashing thread.
const WAITING: usize = 32;
/// The longest wait until each key was checked once.
const ONCE: Duration = Duration::from_mins(2);
const HASHES: u32 = 20;

pub(super) async fn measure(sizes: &Sizes, cluster: &Cluster, table: &mut Table) {
    let holders = issue(cluster, sizes.costly_keys, &[]).await;
    rings::replace_peppers(cluster).await;
    let servers = Servers::of(cluster, &PINNED);
    let hashes = 1.0 / one_hash(&holders[0]).as_secs_f64();
    let valid = requests(&holders, Holder::request);

    let server = servers.ready(&NO_BUDGETS).await;
    let mut first = Group::new(WAITING, valid.clone());
    first.once = true;
    let outcome = server.load(&[first], Duration::ZERO, ONCE);
    let what = format!(
        "Peppers lost: first token of each of {} keys, argon2id decides, {WAITING} connections",
        holders.len()
    );
    let row = Rate {
        status: 200,
        server: &server,
        bound: Some(("argon2id alone", hashes)),
        aim: "",
    };
    table.rate(&what, &outcome, &row);

    let ring = rings::signing_ring(cluster).await;
    let signature = baseline::signature(&ring, Duration::from_secs(1));
    let again = Group::new(CONNECTIONS, valid.clone());
    let outcome = server.load(&[again], sizes.warm_up, sizes.time);
    let row = Rate {
        status: 200,
        server: &server,
        bound: Some(("signatures alone", 1.0 / signature.as_secs_f64())),
        aim: "25000/s, p99 < 5 ms",
    };
    let what = "Peppers lost: further tokens of these keys, remembered, ES256";
    table.rate(what, &outcome, &row);

    flood(sizes, &server, &holders, "budgets out of the way", table);
    drop(server);
    let server = servers.ready(&[]).await;
    let mut first = Group::new(1, valid);
    first.once = true;
    server.load(&[first], Duration::ZERO, ONCE);
    flood(sizes, &server, &holders, "default budgets", table);
}

/// Callers with a cached result, during a flood that argon2id would have to check.
fn flood(sizes: &Sizes, server: &Server, holders: &[Holder], budgets: &str, table: &mut Table) {
    let valid = Group::new(FEW, requests(holders, Holder::request));
    let flood = Group::new(CONNECTIONS, forged(holders));
    server.reset_peak();
    let outcome = server.load(&[valid, flood], sizes.warm_up, sizes.time);
    let (tally, forged) = (&outcome.tallies[0], &outcome.tallies[1]);
    let errors = tally.all() - tally.count(200) + tally.broken;
    table.row(
        format!(
            "Peppers lost: {FEW} remembered callers during a flood on {CONNECTIONS} connections, \
             {budgets}"
        ),
        format!(
            "{:.0}/s, {}, {errors} errors; answers to the flood {:?}; {}",
            outcome.rate(0, 200),
            times(tally),
            forged.answers,
            cores(&outcome),
        ),
        server.memory().to_string(),
        "",
        "0 errors, p99 < 5 ms",
    );
}

/// The mean time of argon2id with the default cost, on the server's core.
fn one_hash(holder: &Holder) -> Duration {
    cpu::on_core(cpu::SERVER, || {
        let mut memory = hash::Memory::default();
        let mut hash =
            || hash::hash(&holder.secret, &[7; 16], Argon2Cost::default(), &mut memory).unwrap();
        hash();
        let begun = Instant::now();
        for _ in 0..HASHES {
            hash();
        }
        begun.elapsed() / HASHES
    })
}
