//! Rates of tokens and of refusals.

use std::time::Duration;

use apikey_credential::signing::Algorithm;

use super::{CONNECTIONS, Setting, floor};
use crate::baseline;
use crate::callers::{forged, requests};
use crate::common::report::progress;
use crate::holder::Holder;
use crate::load::tally::SLICE;
use crate::load::tls::Identity;
use crate::load::{Group, Mode};
use crate::pinned::NO_BUDGETS;
use crate::rings;
use crate::table::{Rate, Table, cores, times};

const SIGNATURES: Duration = Duration::from_secs(1);
/// The number of valid callers during a flood.
pub(super) const FEW: usize = 4;
/// How long the server waits before it first writes `lastUsedAt`.
const QUIET: Duration = Duration::from_secs(55);
/// The time at which the server writes.
const WRITING: Duration = Duration::from_secs(62);

pub(super) async fn tokens(setting: &Setting<'_>, algorithm: Algorithm, table: &mut Table) {
    let ring = rings::fresh_signing_ring(setting.cluster, algorithm).await;
    let signature = baseline::signature(&ring, SIGNATURES);
    let server = setting.servers.ready(&[]).await;
    let group = Group::new(CONNECTIONS, requests(&setting.holders, Holder::request));
    let outcome = server.load(&[group], setting.sizes.warm_up, setting.sizes.time);
    let algorithm = algorithm.as_str();
    let what = format!(
        "Tokens, {algorithm}, {} keys in turn, {CONNECTIONS} connections",
        setting.holders.len()
    );
    let row = Rate {
        status: 200,
        server: &server,
        bound: Some(("signatures alone", 1.0 / signature.as_secs_f64())),
        aim: match algorithm {
            "ES256" => "25000/s, p99 < 5 ms, < 40 MiB",
            "EdDSA" => "35000/s, p99 < 5 ms, < 40 MiB",
            _ => "p99 < 5 ms, < 40 MiB",
        },
    };
    table.rate(&what, &outcome, &row);
    table.headline_rate(&format!("Tokens, {algorithm}"), &outcome, &row);
}

/// Tokens for so long that the server writes `lastUsedAt` of each key.
pub(super) async fn long(setting: &Setting<'_>, table: &mut Table) {
    let long = setting.sizes.long;
    if long.is_zero() {
        return;
    }
    progress("Loading the server for long");
    let server = setting.servers.ready(&[]).await;
    let group = Group::new(CONNECTIONS, requests(&setting.holders, Holder::request));
    let outcome = server.load(&[group], Duration::ZERO, long);
    let tally = &outcome.tallies[0];
    let slice = |time: Duration| usize::try_from(time.as_millis() / SLICE.as_millis()).unwrap();
    let rate = |slices: &[u64]| {
        let (answers, slices) = (slices.iter().sum::<u64>(), slices.len());
        let slices = u32::try_from(slices).unwrap();
        f64::from(u32::try_from(answers).unwrap()) / (SLICE * slices).as_secs_f64()
    };
    let before = rate(&tally.slices[slice(Duration::from_secs(5))..slice(QUIET)]);
    let after = rate(&tally.slices[slice(WRITING)..]);
    let what = format!(
        "Tokens for {} s: before / while the server writes `lastUsedAt` of all keys",
        long.as_secs()
    );
    table.row(
        what,
        format!(
            "{before:.0}/s / {after:.0}/s, {}; {}",
            times(tally),
            cores(&outcome)
        ),
        server.memory().to_string(),
        "",
        "p99 < 5 ms, < 40 MiB",
    );
}

pub(super) async fn refusals(setting: &Setting<'_>, table: &mut Table) {
    let sizes = setting.sizes;
    let bound = Some(("a server that does nothing", floor(sizes, table)));
    let aim = "100000/s, p99 < 5 ms";
    let server = setting.servers.ready(&NO_BUDGETS).await;
    let row = Rate {
        status: 401,
        server: &server,
        bound,
        aim,
    };
    let unknown = requests(&setting.holders, Holder::unknown_key);
    let wrong = requests(&setting.holders, Holder::wrong_secret);
    for (what, forged) in [
        ("forged secrets of unknown keys", unknown),
        ("wrong secrets of known keys", wrong),
    ] {
        let group = Group::new(CONNECTIONS, forged);
        let outcome = server.load(&[group], sizes.warm_up, sizes.time);
        let long = format!("Refusals, {what}, budgets out of the way");
        table.rate(&long, &outcome, &row);
        table.headline_rate(&format!("Refusals, {what}"), &outcome, &row);
    }
    drop(server);
    let server = setting.servers.ready(&[]).await;
    let row = Rate {
        status: 429,
        server: &server,
        bound,
        aim,
    };
    let group = Group::new(CONNECTIONS, forged(&setting.holders));
    let outcome = server.load(&[group], sizes.warm_up, sizes.time);
    let what = "Refusals, both in turn, default budgets: those with 429";
    table.rate(what, &outcome, &row);
}

/// A flood, and a few valid callers in it.
pub(super) async fn mixed(setting: &Setting<'_>, table: &mut Table) {
    let server = setting.servers.ready(&[]).await;
    let valid = Group::new(FEW, requests(&setting.holders, Holder::request));
    let flood = Group::new(CONNECTIONS, forged(&setting.holders));
    let sizes = setting.sizes;
    let outcome = server.load(&[valid, flood], sizes.warm_up, sizes.time);
    let tally = &outcome.tallies[0];
    let errors = tally.all() - tally.count(200) + tally.broken;
    let forged = outcome.rate(1, 429) + outcome.rate(1, 401);
    let valid = format!(
        "{:.0}/s, {}, {errors} errors",
        outcome.rate(0, 200),
        times(tally)
    );
    let aim = "0 errors, p99 < 5 ms";
    let what = format!("{FEW} valid callers beside {forged:.0} forged secrets/s");
    table.headline(&what, &valid, "", aim);
    table.row(
        format!("{FEW} valid callers during a flood on {CONNECTIONS} connections"),
        format!("{valid}; beside {forged:.0} forged/s; {}", cores(&outcome)),
        server.memory().to_string(),
        "",
        aim,
    );
}

/// Tokens with a new connection for each request.
pub(super) async fn connections(setting: &Setting<'_>, table: &mut Table) {
    let sizes = setting.sizes;
    let ring = rings::signing_ring(setting.cluster).await;
    let signatures = 1.0 / baseline::signature(&ring, SIGNATURES).as_secs_f64();
    let identity = Identity::new(setting.cluster.control_plane.dir());
    let file = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let (certificate, key) = (file(&identity.certificate_file), file(&identity.key_file));
    let tls = ["--tls-cert-file", &certificate, "--tls-key-file", &key];
    let plain: [&str; 0] = [];
    for (what, flags, mode) in [
        ("a new TCP connection", &plain[..], Mode::Connect),
        (
            "a new TLS 1.3 connection (ECDSA P-256, no resumption)",
            &tls[..],
            Mode::Handshake(identity.client()),
        ),
    ] {
        let server = setting.servers.ready(flags).await;
        let mut group = Group::new(CONNECTIONS, requests(&setting.holders, Holder::request));
        group.mode = mode;
        let outcome = server.load(&[group], sizes.warm_up, sizes.time);
        let row = Rate {
            status: 200,
            server: &server,
            bound: Some(("signatures alone", signatures)),
            aim: "",
        };
        table.rate(&format!("Tokens, ES256, {what} for each"), &outcome, &row);
    }
}
