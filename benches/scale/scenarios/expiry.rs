//! Keys that expire in the same second: measures how late their status changes, and checks that none gets a token.

use std::net::SocketAddr;
use std::time::Duration;

use apikey_api::Phase;
use apikey_client::clock::Clock;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Api;
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, sleep_until};

use super::{CREATORS, Processes, Setting, key};
use crate::claims;
use crate::common::cluster::Cluster;
use crate::common::report::progress;
use crate::create::create;
use crate::holder::{Holder, Request};
use crate::percentile::percentile;
use crate::sightings::Sightings;
use crate::wire::Wire;

const NAMESPACE: &str = "expiring";
/// The greatest number of keys that expire.
const MOST: u32 = 10_000;
/// The life of a key, in addition to twice the expected time of creating all.
const MARGIN: Duration = Duration::from_secs(20);
/// How many keys ask for tokens.
const CALLERS: u32 = 100;
/// The time between requests.
const PACE: Duration = Duration::from_millis(2);
/// How long an expired key continues to ask.
const AFTER: SignedDuration = SignedDuration::from_secs(10);

pub(super) async fn measure(setting: &mut Setting, processes: &Processes, pace: Duration) {
    let (cluster, count) = (&setting.cluster, setting.keys.min(MOST));
    cluster.namespace(NAMESPACE);
    let mut active = Sightings::of_phase(cluster, NAMESPACE, Phase::Active).await;
    let mut expired = Sightings::of_phase(cluster, NAMESPACE, Phase::Expired).await;
    let keys = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let ahead = pace * count * 2 + MARGIN;
    let expiry = Clock::system().now().as_second() + i64::try_from(ahead.as_secs()).unwrap();
    let expiry = Timestamp::from_second(expiry).unwrap();
    let all = (0..count).map(|n| key(n, Some(expiry))).collect();
    create(&keys, CREATORS, all).await;
    let issued = active.next(count).await;
    let last = issued.iter().map(|seen| seen.time).max().unwrap();
    assert!(
        last < expiry,
        "too slow: a key became Active after its expiry"
    );

    progress("Waiting for the expiry");
    let callers = callers(cluster, count).await;
    let asking = ask(processes.server.address, &callers, expiry);
    let left = Duration::try_from(expiry.duration_since(Clock::system().now()));
    let seeing = async {
        // The time limit begins at the expiry.
        sleep_until(Instant::now() + left.unwrap_or_default()).await;
        expired.next(count).await
    };
    let (seen, answers) = tokio::join!(seeing, asking);
    let mut late: Vec<_> = seen
        .iter()
        .map(|seen| seen.time.duration_since(expiry).as_secs_f64())
        .collect();
    late.sort_by(f64::total_cmp);
    for percent in [50, 99, 100] {
        let what =
            format!("From expiry to Expired, {percent} % of min(N, {MOST}) of the same second");
        setting.measured.note(what, "s", percentile(&late, percent));
    }
    let early = late.iter().filter(|late| **late < 0.0).count();
    setting
        .measured
        .must_be_zero("Keys Expired too early", u32::try_from(early).unwrap());
    assert!(answers.tokens > 0, "nobody got a token before the expiry");
    setting.measured.note(
        "Questions for a token at or after the expiry",
        "",
        answers.asked_late.into(),
    );
    setting
        .measured
        .must_be_zero("Tokens issued at or after the expiry", answers.late);
    setting
        .measured
        .must_be_zero("Tokens that outlive their key", answers.outliving);
}

/// Requests of some keys, evenly chosen.
async fn callers(cluster: &Cluster, count: u32) -> Vec<Request> {
    let secrets = Api::<Secret>::namespaced(cluster.client.clone(), NAMESPACE);
    let mut callers = Vec::new();
    for n in (0..count).step_by(count.div_ceil(CALLERS).try_into().unwrap()) {
        let name = key(n, None).metadata.name.unwrap();
        callers.push(Holder::of(&secrets.get(&name).await.unwrap()).request());
    }
    callers
}

/// The responses, counted.
#[derive(Default)]
struct Answers {
    tokens: u32,
    /// Requests that were sent at or after the expiry.
    asked_late: u32,
    /// Tokens for requests at or after the expiry.
    late: u32,
    /// Tokens that are valid after the expiry.
    outliving: u32,
}

/// Asks for tokens until well after the expiry.
async fn ask(server: SocketAddr, callers: &[Request], expiry: Timestamp) -> Answers {
    let clock = Clock::system();
    let mut wire = Wire::new(TcpStream::connect(server).await.unwrap());
    let mut answers = Answers::default();
    let mut tick = tokio::time::interval(PACE);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for request in callers.iter().cycle() {
        tick.tick().await;
        let sent = clock.now();
        if sent >= expiry + AFTER {
            break;
        }
        let is_late = sent >= expiry;
        answers.asked_late += u32::from(is_late);
        let answer = wire.ask(request).await.unwrap();
        match answer.status {
            200 => {
                answers.tokens += 1;
                answers.late += u32::from(is_late);
                let end = claims::of(answer.body)["exp"].as_i64().unwrap();
                answers.outliving += u32::from(end > expiry.as_second());
            }
            // Refused, or limited after many refusals.
            401 | 429 => {}
            status => unreachable!("an answer with status {status}"),
        }
    }
    answers
}
