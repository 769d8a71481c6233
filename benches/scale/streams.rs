//! Compares restarts with streamed lists and with lists in pages. Both use the same objects, and an API server with
//! and without streamed lists.

use std::time::Duration;

use apikey_api::Phase;
use kube::Api;

use crate::common::cluster::Cluster;
use crate::common::report::{Report, progress};
use crate::create::create;
use crate::measured::show;
use crate::percentile::percentile;
use crate::scenarios::{ALONE, CHEAP, CREATORS, IDLE, NAMESPACE, WHO, idle, key, warm_up};
use crate::server::Servers;
use crate::sightings::Sightings;

const LOOK: Duration = Duration::from_millis(50);
const CONDITIONS: &str = "Each pair is two starts of both processes, one after the other, in turns with the one or \
    the other first, each against an API server that has just started: with its feature WatchList, as it is by \
    default, and without it. Numbers are medians; the last column is the median of the differences within \
    pairs, pages less streams.";

/// The two modes: whether the API server offers streamed lists.
const MODES: [(&str, bool); 2] = [("streams", true), ("pages", false)];

/// The measurements of one start: times to ready and to all keys reconciled, and peaks of memory.
type Numbers = [f64; 5];

const MEASURED: [(&str, &str); 5] = [
    ("From the start of the controller to ready", "s"),
    (
        "From the start of the controller to all keys reconciled",
        "s",
    ),
    ("From the start of the token server to ready", "s"),
    ("Peak memory of the controller", "MiB"),
    ("Peak memory of the token server", "MiB"),
];

/// An empty table.
pub(crate) fn report() -> Report {
    Report::new(&["Measured", "Streams", "Pages", "Pages less streams"])
}

/// Measures this many pairs with this many keys.
pub(crate) async fn run(keys: u32, pairs: usize, report: &mut Report) {
    let mut cluster = Cluster::start().await;
    report.kubernetes(
        cluster
            .client
            .apiserver_version()
            .await
            .unwrap()
            .git_version,
    );
    issue(&cluster, keys).await;
    let servers = Servers::of(&cluster, &[]);
    let mut all: [Vec<Numbers>; 2] = Default::default();
    for pair in 0..pairs {
        let order = if pair % 2 == 0 { [0, 1] } else { [1, 0] };
        for mode in order {
            let (name, streams) = MODES[mode];
            let gate = format!("--feature-gates=WatchList={streams}");
            let control_plane = &mut cluster.control_plane;
            tokio::task::block_in_place(|| control_plane.restart_apiserver_with(&[&gate])).unwrap();
            let numbers = start(&cluster, &servers, keys).await;
            progress(&format!("pair {pair}, {name}: {numbers:.2?}"));
            all[mode].push(numbers);
        }
    }
    for (n, (what, unit)) in MEASURED.into_iter().enumerate() {
        let [streams, pages] = all
            .each_ref()
            .map(|all| all.iter().map(|numbers| numbers[n]));
        let differences = pages.clone().zip(streams.clone()).map(|(p, s)| p - s);
        report.add(vec![
            what.to_owned(),
            show(median(streams), unit),
            show(median(pages), unit),
            show(median(differences), unit),
        ]);
    }
    report.note(format!("{keys} keys, {pairs} pairs. {CONDITIONS}"));
}

/// Issues all keys.
async fn issue(cluster: &Cluster, keys: u32) {
    let controller = cluster.operator(&CHEAP).await;
    warm_up(cluster).await;
    cluster.namespace(NAMESPACE);
    let mut active = Sightings::of_phase(cluster, NAMESPACE, Phase::Active).await;
    let api = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let creating = create(&api, CREATORS, (0..keys).map(|n| key(n, None)).collect());
    tokio::join!(active.next(keys), creating);
    drop(controller);
}

async fn start(cluster: &Cluster, servers: &Servers, keys: u32) -> Numbers {
    let controller = cluster.start_operator(&[CHEAP, ALONE].concat());
    controller.ready().await;
    let ready = controller.begun.elapsed();
    controller.reconciled(keys, LOOK).await;
    let reconciled = controller.begun.elapsed();
    let server = servers.start(&[]);
    server.ready().await;
    let up_again = server.operator.begun.elapsed();
    idle(IDLE).await;
    let peaks = [&controller, &server.operator].map(|operator| operator.memory().peak);
    progress(&format!("peaks of {WHO:?}: {peaks:.1?} MiB"));
    let times = [ready, reconciled, up_again].map(|time| time.as_secs_f64());
    [times[0], times[1], times[2], peaks[0], peaks[1]]
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    percentile(&values, 50)
}
