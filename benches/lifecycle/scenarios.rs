//! The measurements. Each part starts its own control plane.

use std::time::{Duration, Instant};

use apikey_api::{ApiKey, Phase};
use apikey_client::clock::Clock;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Api;
use kube::api::{ObjectMeta, PostParams};

use crate::common::cluster::{Cluster, SERVICE_ACCOUNT};
use crate::common::keys::key;
use crate::common::operator::Operator;
use crate::common::report::progress;
use crate::create::create;
use crate::milliseconds::ms;
use crate::percentile::percentile;
use crate::requests::{Requests, per_key};
use crate::sightings::Sightings;
use crate::table::Table;

const CREATORS: usize = 16;
const MANY_CREATORS: usize = 32;
const CHEAP: [&str; 2] = ["--argon2-memory-kib=8", "--argon2-iterations=1"];
/// No other controller runs, and the lease of the killed predecessor has not expired yet.
const ALONE: &str = "--leader-elect=false";

/// How long an operator is idle before its memory is read.
const IDLE: Duration = Duration::from_secs(2);
/// The life of the expiring keys. Unit: seconds.
const LIFETIME_SECONDS: i64 = 30;

pub(crate) struct Sizes {
    raw: u32,
    small: u32,
    large: u32,
    huge: u32,
    one_by_one: u32,
    expiring: u32,
}

impl Sizes {
    pub(crate) const FULL: Self = Self {
        raw: 1000,
        small: 200,
        large: 1000,
        huge: 10_000,
        one_by_one: 100,
        expiring: 200,
    };
    pub(crate) const QUICK: Self = Self {
        raw: 200,
        small: 50,
        large: 200,
        huge: 1000,
        one_by_one: 20,
        expiring: 50,
    };
}

pub(crate) async fn run(sizes: &Sizes, report: &mut Table) {
    let raw = raw(sizes.raw, report).await;
    small(sizes, raw, report).await;
    large(sizes, raw, report).await;
    cheap_small(sizes, raw, report).await;
    huge(sizes, raw, report).await;
}

/// The reference: plain Secrets, without an operator.
async fn raw(count: u32, report: &mut Table) -> f64 {
    progress("Starting a control plane without the operator");
    let cluster = Cluster::bare().await;
    report.kubernetes(
        cluster
            .client
            .apiserver_version()
            .await
            .unwrap()
            .git_version,
    );
    cluster.namespace("raw");
    let secret = |n| Secret {
        metadata: ObjectMeta {
            name: Some(format!("secret-{n:06}")),
            ..ObjectMeta::default()
        },
        data: Some([("data".to_owned(), ByteString(vec![b'x'; 600]))].into()),
        ..Secret::default()
    };
    let secrets = Api::<Secret>::namespaced(cluster.client.clone(), "raw");
    let all = (0..count).map(secret).collect();
    let begun = Instant::now();
    create(&secrets, CREATORS, all).await;
    let rate = f64::from(count) / begun.elapsed().as_secs_f64();
    let what = format!("Plain Secrets of 1 KB, {count}, {CREATORS} creators, no operator");
    report.row(what, format!("{rate:.0} Secrets/s"), "");
    rate
}

/// Creates keys with these numbers. Returns how many became Active per second.
async fn issue(cluster: &Cluster, creators: usize, numbers: std::ops::Range<u32>) -> f64 {
    let mut active = Sightings::of_phase(cluster, "bench", Phase::Active).await;
    let keys = Api::namespaced(cluster.client.clone(), "bench");
    let count = f64::from(numbers.end - numbers.start);
    let all: Vec<_> = numbers.clone().map(|n| key(n, None)).collect();
    let begun = Instant::now();
    let creating = create(&keys, creators, all);
    let (seen, ()) = tokio::join!(active.next(numbers.end - numbers.start), creating);
    let last = seen.iter().map(|seen| seen.at).max().unwrap();
    count / last.duration_since(begun).as_secs_f64()
}

fn report_rate(report: &mut Table, count: u32, cost: &str, rate: f64, raw: f64, aim: &str) {
    let what = format!("From create to all Active, {count} keys, {CREATORS} creators, {cost}");
    report.row(
        what,
        format!("{rate:.1} keys/s, {:.2} of plain Secrets", rate / raw),
        aim,
    );
}

fn headline_rate(report: &mut Table, cost: &str, rate: f64, raw: f64, aim: &str) {
    report.headline(
        &format!("Keys made Active, {CREATORS} creators, {cost}"),
        format!("{rate:.0} keys/s"),
        format!("plain Secrets {raw:.0}/s: {:.2}", rate / raw),
        aim,
    );
}

async fn cluster_with_operator(flags: &[&str]) -> (Cluster, Operator) {
    progress(&format!(
        "Starting a control plane and an operator with flags {flags:?}"
    ));
    let cluster = Cluster::start().await;
    cluster.namespace("bench");
    let operator = cluster.operator(flags).await;
    (cluster, operator)
}

/// Issues one key. The API server refuses watches in the first second of a definition, so the first key
/// may have to wait for the next attempt.
async fn warm_up(cluster: &Cluster) -> Requests {
    cluster.namespace("warm-up");
    let mut active = Sightings::of_phase(cluster, "warm-up", Phase::Active).await;
    let keys = Api::namespaced(cluster.client.clone(), "warm-up");
    create(&keys, 1, vec![key(0, None)]).await;
    active.next(1).await;
    let mut requests = Requests::of(cluster, SERVICE_ACCOUNT);
    requests.settled().await;
    requests
}

async fn small(sizes: &Sizes, raw: f64, report: &mut Table) {
    let (cluster, _operator) = cluster_with_operator(&[]).await;
    let mut requests = warm_up(&cluster).await;
    let rate = issue(&cluster, CREATORS, 0..sizes.small).await;
    report_rate(
        report,
        sizes.small,
        "default hashing cost",
        rate,
        raw,
        "≥ 60 keys/s",
    );
    requests.settled().await;
    one_by_one(&cluster, sizes.one_by_one, report).await;
    requests.settled().await;
    expiry(&cluster, sizes.expiring, report).await;
}

async fn one_by_one(cluster: &Cluster, count: u32, report: &mut Table) {
    cluster.namespace("one-by-one");
    let mut active = Sightings::of_phase(cluster, "one-by-one", Phase::Active).await;
    let keys = Api::<ApiKey>::namespaced(cluster.client.clone(), "one-by-one");
    let mut latencies = Vec::new();
    for n in 0..count {
        let key = key(n, None);
        let begun = Instant::now();
        keys.create(&PostParams::default(), &key).await.unwrap();
        let [seen] = active.next(1).await[..] else {
            continue;
        };
        latencies.push(seen.at.duration_since(begun));
    }
    latencies.sort();
    let (p50, p99) = (percentile(&latencies, 50), percentile(&latencies, 99));
    let what =
        format!("From create to Active, {count} keys one after the other, default hashing cost");
    let (result, aim) = (format!("p50 {}, p99 {}", ms(p50), ms(p99)), "p50 < 30 ms");
    report.headline("From create to Active, one key at a time", &result, "", aim);
    report.row(what, result, aim);
}

async fn expiry(cluster: &Cluster, count: u32, report: &mut Table) {
    cluster.namespace("expiry");
    let mut active = Sightings::of_phase(cluster, "expiry", Phase::Active).await;
    let mut expired = Sightings::of_phase(cluster, "expiry", Phase::Expired).await;
    let keys = Api::namespaced(cluster.client.clone(), "expiry");
    let now = Clock::system().now().as_second();
    let expiry = Timestamp::from_second(now + LIFETIME_SECONDS).unwrap();
    create(
        &keys,
        CREATORS,
        (0..count).map(|n| key(n, Some(expiry))).collect(),
    )
    .await;
    let issued = active.next(count).await;
    let last = issued.iter().map(|seen| seen.time).max().unwrap();
    assert!(
        last < expiry,
        "too slow: the last key became Active after its expiry"
    );
    progress("Waiting for the expiry");
    let late = |time: Timestamp| time.duration_since(expiry);
    let mut late: Vec<_> = expired
        .next(count)
        .await
        .iter()
        .map(|seen| late(seen.time))
        .collect();
    late.sort();
    assert!(late[0] >= SignedDuration::ZERO, "a key expired too early");
    let show = |percent| ms(Duration::try_from(percentile(&late, percent)).unwrap());
    let what = format!("From expiry to Expired, {count} keys that expire in the same second");
    let (result, aim) = (format!("p50 {}, p99 {}", show(50), show(99)), "< 2 s");
    report.headline(&what, &result, "", aim);
    report.row(what, result, aim);
}

async fn large(sizes: &Sizes, raw: f64, report: &mut Table) {
    let count = sizes.large;
    let (cluster, operator) = cluster_with_operator(&[]).await;
    idle().await;
    report.row(
        "Resident memory without keys",
        operator.memory().to_string(),
        "",
    );
    let mut requests = warm_up(&cluster).await;
    let rate = issue(&cluster, CREATORS, 0..count).await;
    let memory = operator.memory();
    let (cost, aim) = ("default hashing cost", "≥ 60 keys/s");
    report_rate(report, count, cost, rate, raw, aim);
    headline_rate(report, cost, rate, raw, aim);
    let what = format!("Resident memory right after {count} keys, default hashing cost");
    report.row(what, memory.to_string(), "< 40 MiB");

    let seen = requests.settled().await;
    let at_rest = operator.memory();
    let what = format!("Resident memory at rest with {count} keys, default hashing cost");
    report.row(what, at_rest.to_string(), "< 40 MiB");
    let what = format!("Memory of the controller, {count} keys: right after issuing / at rest");
    let result = format!("{:.1} / {:.1} MiB", memory.resident, at_rest.resident);
    report.headline(&what, result, "", "< 40 MiB");
    let work: u32 = seen.work.values().sum();
    let what = format!("API requests for each key, {count} keys");
    let each = format!("{:.2}", f64::from(work) / f64::from(count));
    report.headline(
        "API requests of the controller for each key",
        &each,
        "",
        "≤ 4",
    );
    report.row(what, each, "≤ 4");
    report.note(format!(
        "API requests for each key: {}. Lists, watches and the lease for all together: {}. Events \
         dropped: {}.",
        per_key(&seen.work, count),
        seen.upkeep.values().sum::<u32>(),
        operator.metric("apikey_events_dropped_total")
    ));
    drop(operator);

    // The benchmark reads the metrics every few milliseconds. Metrics of each key would distort the result.
    let operator = cluster.start_operator(&[ALONE, "--per-key-metrics=false"]);
    operator.ready().await;
    let ready = operator.begun.elapsed();
    let look = Duration::from_millis(5);
    operator.reconciled(1, look).await;
    let first = operator.begun.elapsed();
    operator.reconciled(count, look).await;
    let all = operator.begun.elapsed();
    let what = format!("From restart to ready / first / all reconciled, {count} keys");
    let result = format!("{} / {} / {}", ms(ready), ms(first), ms(all));
    report.headline(&format!("Controller: {what}"), &result, "", "first < 1 s");
    report.row(what, result, "first < 1 s");
    let what = format!("Resident memory after a restart with {count} keys");
    report.row(what, operator.memory().to_string(), "< 40 MiB");
}

async fn cheap_small(sizes: &Sizes, raw: f64, report: &mut Table) {
    let (cluster, _operator) = cluster_with_operator(&CHEAP).await;
    warm_up(&cluster).await;
    let rate = issue(&cluster, CREATORS, 0..sizes.small).await;
    report_rate(
        report,
        sizes.small,
        "least hashing cost",
        rate,
        raw,
        "≥ 200 keys/s",
    );
}

async fn huge(sizes: &Sizes, raw: f64, report: &mut Table) {
    let (large, huge) = (sizes.large, sizes.huge);
    let (cluster, operator) = cluster_with_operator(&CHEAP).await;
    warm_up(&cluster).await;
    let rate = issue(&cluster, CREATORS, 0..large).await;
    let memory = operator.memory();
    let (cost, aim) = ("least hashing cost", "≥ 200 keys/s");
    report_rate(report, large, cost, rate, raw, aim);
    headline_rate(report, cost, rate, raw, aim);
    let what = format!("Resident memory right after {large} keys, least hashing cost");
    report.row(what, memory.to_string(), "< 40 MiB");

    let rate = issue(&cluster, MANY_CREATORS, large..huge).await;
    let memory = operator.memory();
    let what = format!(
        "From create to all Active, {} keys more, {MANY_CREATORS} creators, least hashing cost",
        huge - large
    );
    report.row(what, format!("{rate:.1} keys/s"), "");
    let what = format!("Resident memory right after {huge} keys, least hashing cost");
    report.row(what, memory.to_string(), "< 100 MiB");
    scrape(&operator, huge, report);
    drop(operator);

    let operator = cluster.start_operator(&[ALONE]);
    operator.ready().await;
    let ready = operator.begun.elapsed();
    idle().await;
    operator.reconciled(huge, Duration::from_millis(500)).await;
    let what = format!("From restart to ready, {huge} keys");
    report.row(what, ms(ready), "");
    let what = format!("Resident memory after a restart with {huge} keys");
    report.row(what, operator.memory().to_string(), "< 100 MiB");
}

/// Gives the operator time for its background work.
async fn idle() {
    let _ = tokio::time::timeout(IDLE, std::future::pending::<()>()).await;
}

/// Measures one read of the metrics of all keys.
fn scrape(operator: &Operator, keys: u32, report: &mut Table) {
    let (bytes, took) = operator.scrape();
    report.note(format!(
        "One read of /metrics with {keys} keys: {} KiB in {}, resident memory then {}. Events \
         dropped until then: {}.",
        bytes / 1024,
        ms(took),
        operator.memory(),
        operator.metric("apikey_events_dropped_total"),
    ));
}
