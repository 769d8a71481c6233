//! A run from start to end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use apikey_client::clock::Clock;
use k8s_openapi::jiff::Timestamp;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::changes::{LASTING, Owner};
use crate::common::report::progress;
use crate::common::{self, report::Report};
use crate::consumers::{CONSUMERS, consume};
use crate::faults::inject;
use crate::ledger::Ledger;
use crate::measured::Measurements;
use crate::site::Site;
use crate::summary::Outcome;
use crate::world::{PhaseCounts, World, pass};
use crate::{deliveries, hostile, neighbour, plots, samples, settled, summary};

/// The longest wait until all initial keys are in use.
const BEGIN: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(100);

/// Runs load and faults for this time.
pub(crate) async fn soak(time: Duration) -> Measurements {
    progress("Starting a control plane");
    let mut report = Report::new(&["Counted", "Result", "Must be"]);
    let mut site = Site::start().await;
    let client = site.cluster.client.clone();
    let kubernetes = client.apiserver_version().await.unwrap();
    report.kubernetes(kubernetes.git_version);
    let world = Arc::new(World {
        client,
        server: site.server.address,
        clock: Clock::system(),
        ledger: Mutex::new(Ledger::default()),
        tally: Mutex::new(PhaseCounts::new()),
        back: Mutex::new(Some(Timestamp::UNIX_EPOCH)),
    });
    site.cluster.namespace(neighbour::NAMESPACE);
    hostile::settle(&site.cluster).await;
    let mut background = JoinSet::new();
    background.spawn(deliveries::follow(Arc::clone(&world)));
    for first in 0..CONSUMERS {
        background.spawn(consume(Arc::clone(&world), first));
    }
    background.spawn(neighbour::live(Arc::clone(&world)));
    background.spawn(hostile::trouble(Arc::clone(&world)));
    let outcome = tokio::select! {
        outcome = go(&mut site, &world, time) => outcome,
        ended = background.join_next() => {
            ended.unwrap().unwrap();
            unreachable!("tenants and the watch go on for ever")
        }
    };
    background.shutdown().await;
    let mut measured = Measurements::default();
    summary::measure(&outcome, &site, &mut measured);
    let pictures = plots::draw(&outcome.samples, &outcome.incidents);
    summary::fill(&measured, &pictures, &mut report);
    common::publish("soak/report", &report, false, summary::SHARED);
    measured
}

async fn go(site: &mut Site, world: &Arc<World>, time: Duration) -> Outcome {
    let mut owner = Owner::of(world);
    for _ in 0..LASTING {
        owner.create().await;
    }
    all_in_use(world).await;
    *world.tally.lock() = PhaseCounts::new();

    progress("Loading it");
    // The samples have their own task, because the restart of the API server blocks this one.
    let samples = samples::take(Arc::clone(world), site.pids.clone(), time);
    let samples = tokio::spawn(samples);
    let changes = owner.change_until(Instant::now() + time);
    let ((), incidents) = tokio::join!(changes, inject(site, world, time));
    let samples = samples.await.unwrap();
    progress("Waiting until everything is at rest");
    let left = settled::wait(world).await;
    Outcome {
        world: Arc::clone(world),
        samples,
        incidents,
        left,
    }
}

/// Waits until a token was issued for each key.
async fn all_in_use(world: &World) {
    let begun = Instant::now();
    while !world.ledger.lock().keys.values().all(|key| key.is_known) {
        assert!(begun.elapsed() < BEGIN, "keys without a token");
        pass(LOOK).await;
    }
}
