//! Checks that the time of a refusal does not reveal whether a key exists.

use std::net::SocketAddr;
use std::time::Instant;

use apikey_credential::random;
use tokio::net::TcpStream;

use super::Setting;
use crate::cpu;
use crate::holder::Holder;
use crate::pinned::NO_BUDGETS;
use crate::statistics::{cropped, mean, median, welch};
use crate::table::Table;
use crate::wire::Wire;

/// The number of warm-up requests.
const WARM_UP: usize = 2000;

pub(super) async fn measure(setting: &Setting<'_>, table: &mut Table) {
    let server = setting.servers.ready(&NO_BUDGETS).await;
    let count = setting.sizes.samples;
    let [unknown, wrong] = cpu::on_core(cpu::CALLER, || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(sample(server.address, &setting.holders, count))
    });
    let of = |[a, b]: [&[f64]; 2]| {
        format!(
            "means {:.3} / {:.3} us, medians {:.3} / {:.3} us, t {:.1}",
            mean(a) / 1e3,
            mean(b) / 1e3,
            median(a) / 1e3,
            median(b) / 1e3,
            welch(a, b)
        )
    };
    let low = cropped(&unknown, &wrong);
    // Compares every second sample with the rest, to show how large t becomes by noise alone.
    let half = |first| {
        low[0]
            .iter()
            .copied()
            .skip(first)
            .step_by(2)
            .collect::<Vec<_>>()
    };
    table.headline(
        "Time of a refusal, unknown key against wrong secret: Welch's t, of all / of the fastest 90 %",
        format!("{:.1} / {:.1}", welch(&unknown, &wrong), welch(&low[0], &low[1])),
        "",
        "within ±4.5",
    );
    table.row(
        format!("Time of refusals, unknown key / wrong secret of a known key, {count} each"),
        format!(
            "{}; lower 90 %: {}; unknown key against itself: t {:.1}",
            of([&unknown, &wrong]),
            of([&low[0], &low[1]]),
            welch(&half(0), &half(1))
        ),
        "",
        "",
        "t within ±4.5",
    );
}

/// The times of both kinds, measured in random order. Unit: nanoseconds.
async fn sample(address: SocketAddr, holders: &[Holder], count: usize) -> [Vec<f64>; 2] {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut wire = Wire::new(stream);
    let mut times = [Vec::with_capacity(count), Vec::with_capacity(count)];
    for n in 0..WARM_UP + 2 * count {
        let dice = u32::from_ne_bytes(random::bytes().unwrap());
        let holder = &holders[usize::try_from(dice >> 1).unwrap() % holders.len()];
        // Both requests are built, so that only the server can cause a difference.
        let both = [holder.unknown_key(), holder.wrong_secret()];
        let kind = usize::from(dice & 1 == 1);
        let sent = Instant::now();
        let status = wire.ask(&both[kind]).await.unwrap().status;
        let took = sent.elapsed();
        assert_eq!(status, 401);
        if n >= WARM_UP {
            times[kind].push(took.as_secs_f64() * 1e9);
        }
    }
    times
}
