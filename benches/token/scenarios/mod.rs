//! The measurements.

mod argon2;
mod rates;
mod restart;
mod revocation;
mod timing;

use std::sync::Arc;
use std::time::{Duration, Instant};

use apikey_api::ApiKey;
use apikey_credential::signing::Algorithm;
use kube::Api;

use crate::baseline;
use crate::callers;
use crate::common::cluster::Cluster;
use crate::common::keys::key;
use crate::common::report::progress;
use crate::create::create;
use crate::holder::{Holder, Request};
use crate::load::{Group, Load};
use crate::pinned::PINNED;
use crate::server::Servers;
use crate::table::{Table, times};

const CREATORS: usize = 32;
/// Flags for the least hashing cost. Where a fingerprint decides, the hash is not computed again.
const CHEAP: [&str; 2] = ["--argon2-memory-kib=8", "--argon2-iterations=1"];
const NAMESPACE: &str = "bench";
const CONDITIONS: &str = "Keys are of the least hashing cost where many are needed, and of the \
    default where argon2id is measured. Callers wait for each answer before they ask again. A time \
    is from the first byte of a request, or the begin of its connection, to the last of its answer. \
    TLS callers compare the certificate and verify no signature, as that would make them the slower \
    side. Audit lines go to a file.";
/// The number of connections of a load.
const CONNECTIONS: usize = 64;

pub(crate) struct Sizes {
    keys: u32,
    /// The number of keys with the default hashing cost.
    costly_keys: u32,
    warm_up: Duration,
    time: Duration,
    /// A time that is longer than the server waits before it writes `lastUsedAt`. Zero skips that measurement.
    long: Duration,
    restarts: u32,
    tries: u32,
    samples: usize,
}

impl Sizes {
    pub(crate) const FULL: Self = Self {
        keys: 10_000,
        costly_keys: 300,
        warm_up: Duration::from_secs(2),
        time: Duration::from_secs(10),
        long: Duration::from_secs(100),
        restarts: 3,
        tries: 200,
        samples: 100_000,
    };
    pub(crate) const QUICK: Self = Self {
        keys: 300,
        costly_keys: 40,
        warm_up: Duration::from_millis(300),
        time: Duration::from_secs(1),
        long: Duration::ZERO,
        restarts: 1,
        tries: 5,
        samples: 2000,
    };
}

/// What scenarios with many keys share.
struct Setting<'a> {
    sizes: &'a Sizes,
    cluster: &'a Cluster,
    servers: Servers,
    holders: Arc<[Holder]>,
}

pub(crate) async fn run(sizes: &Sizes, table: &mut Table) {
    progress("Starting a control plane, for keys of the default hashing cost");
    let cluster = Cluster::start().await;
    let kubernetes = cluster.client.apiserver_version().await.unwrap();
    table.kubernetes(kubernetes.git_version);
    argon2::measure(sizes, &cluster, table).await;
    drop(cluster);

    progress("Starting a control plane, for many keys of the least hashing cost");
    let cluster = Cluster::start().await;
    let setting = Setting {
        sizes,
        cluster: &cluster,
        servers: Servers::of(&cluster, &PINNED),
        holders: issue(&cluster, sizes.keys, &CHEAP).await,
    };
    // The last algorithm is the default. Its ring stays for the following measurements.
    for algorithm in [Algorithm::EdDsa, Algorithm::Rs256, Algorithm::Es256] {
        rates::tokens(&setting, algorithm, table).await;
    }
    rates::long(&setting, table).await;
    rates::refusals(&setting, table).await;
    rates::mixed(&setting, table).await;
    rates::connections(&setting, table).await;
    restart::measure(&setting, table).await;
    timing::measure(&setting, table).await;
    revocation::measure(&setting, table).await;
    table.note(CONDITIONS.to_owned());
}

/// Measures the greatest rate of the generator, against a trivial server.
fn floor(sizes: &Sizes, table: &mut Table) -> f64 {
    let outcome = baseline::with_trivial_server(|address| {
        Load {
            address,
            groups: &[Group::new(CONNECTIONS, [Request::from(*b"x")].into())],
            warm_up: sizes.warm_up,
            time: sizes.time,
            server: None,
        }
        .run()
    });
    let rate = outcome.rate(0, 200);
    let (times, generator) = (times(&outcome.tallies[0]), outcome.generator);
    table.row(
        "The generator of load against a server that answers every read with the same bytes",
        format!(
            "{rate:.0}/s, {times}; callers {generator} of their core, so that all of it is enough \
             for {:.0}/s",
            rate / generator.busy
        ),
        "",
        "",
        "enough for 150000/s",
    );
    rate
}

/// Issues keys, and stops the controller.
async fn issue(cluster: &Cluster, count: u32, flags: &[&str]) -> Arc<[Holder]> {
    cluster.namespace(NAMESPACE);
    let _controller = cluster.operator(flags).await;
    let begun = Instant::now();
    let keys = Api::<ApiKey>::namespaced(cluster.client.clone(), NAMESPACE);
    create(&keys, CREATORS, (0..count).map(|n| key(n, None)).collect()).await;
    let holders = callers::all(cluster, NAMESPACE, usize::try_from(count).unwrap()).await;
    progress(&format!(
        "{count} keys in {:.0} s",
        begun.elapsed().as_secs_f64()
    ));
    holders
}
