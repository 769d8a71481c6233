//! Measures a start of the token server until it has its full rate.

use std::net::TcpStream;
use std::time::Duration;

use super::{CONNECTIONS, Setting};
use crate::callers::requests;
use crate::common::operator::Memory;
use crate::holder::Holder;
use crate::load::tally::SLICE;
use crate::load::{Group, once};
use crate::milliseconds::ms;
use crate::table::Table;

const LOOK: Duration = Duration::from_millis(1);
/// How long the start is observed.
const WATCHED: Duration = Duration::from_secs(3);
/// The part of the final rate that counts as the full rate, so that noise does not matter.
const FULL: f64 = 0.9;

struct Start {
    ready: Duration,
    first_token: Duration,
    full_speed: Duration,
    at_ready: Memory,
    peak: Memory,
    by_argon2: f64,
}

pub(super) async fn measure(setting: &Setting<'_>, table: &mut Table) {
    let mut starts = Vec::new();
    for _ in 0..setting.sizes.restarts {
        starts.push(start(setting).await);
    }
    let slowest = starts.iter().max_by_key(|start| start.full_speed).unwrap();
    let by_argon2 = starts.iter().fold(0.0, |sum, start| sum + start.by_argon2);
    let most = |memory: fn(&Start) -> f64| starts.iter().map(memory).fold(0.0, f64::max);
    let what = format!(
        "From start to ready / first token / full speed with {} keys, the slowest of {}",
        setting.holders.len(),
        starts.len()
    );
    let times = [slowest.ready, slowest.first_token, slowest.full_speed].map(ms);
    let times = times.join(" / ");
    table.headline(&format!("Token server: {what}"), &times, "", "< 3 s");
    table.row(
        what,
        format!("{times}; {by_argon2} secrets checked by argon2id"),
        format!(
            "{:.1} MiB at ready (peak {:.1})",
            most(|start| start.at_ready.resident),
            most(|start| start.peak.peak),
        ),
        "",
        "< 3 s, < 64 MiB",
    );
}

async fn start(setting: &Setting<'_>) -> Start {
    let valid = requests(&setting.holders, Holder::request);
    let server = setting.servers.start(&[]);
    let begun = server.operator.begun;
    server.operator.ready().await;
    let (ready, at_ready) = (begun.elapsed(), server.memory());
    let listening = || TcpStream::connect(server.address).is_ok();
    server.operator.until("listening", LOOK, listening).await;
    let status = once(server.address, &valid[0]).await.unwrap();
    assert_eq!(status, 200, "the first answer");
    let first_token = begun.elapsed();
    let group = Group::new(CONNECTIONS, valid);
    let before = begun.elapsed();
    let outcome = server.load(&[group], Duration::ZERO, WATCHED);
    let slices = &outcome.tallies[0].slices;
    let mut end = slices[slices.len() / 2..].to_vec();
    end.sort_unstable();
    let steady = f64::from(u32::try_from(end[end.len() / 2]).unwrap());
    let fast = |&count: &u64| f64::from(u32::try_from(count).unwrap()) >= FULL * steady;
    let slice = u32::try_from(slices.iter().position(fast).unwrap()).unwrap();
    let argon2 = r#"apikey_secrets_verified_total{path="argon2""#;
    Start {
        ready,
        first_token,
        full_speed: before + SLICE * (slice + 1),
        at_ready,
        peak: server.memory(),
        by_argon2: server.operator.metric(argon2),
    }
}
