//! A consumer that reads its Secret and asks for tokens during rotations and while controllers are killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use apikey_api::names;
use k8s_openapi::api::core::v1::Secret;
use tokio::task::JoinHandle;

use crate::support::{Cluster, Login, Scope, TokenServer, eventually};

/// The time from one read of the Secret to the next.
const PERIOD: Duration = Duration::from_millis(20);

/// The observations of a consumer.
#[derive(Default)]
struct Seen {
    asked: AtomicU64,
    /// The number of refusals of a value that the Secret had when the consumer read it.
    refused: AtomicU64,
    /// The refusals after which the Secret had another value, which the server accepted.
    replaced_meanwhile: AtomicU64,
    /// The newest revision that got a token.
    revision: AtomicI64,
}

fn login(secret: &Secret) -> Login {
    let data = secret.data.as_ref().unwrap();
    let text = |key: &str| String::from_utf8(data[key].0.clone()).unwrap();
    Login {
        name: text("name"),
        secret: text("secret"),
    }
}

fn revision(secret: &Secret) -> i64 {
    let annotations = secret.metadata.annotations.as_ref().unwrap();
    annotations[names::ANNOTATION_REVISION].parse().unwrap()
}

/// Reads the Secret and asks for a token, until a stop is requested.
async fn consume(
    scope: &Scope<'_>,
    server: &TokenServer,
    key: &str,
    seen: &Seen,
    stop: &AtomicBool,
) {
    let mut tick = tokio::time::interval(PERIOD);
    let secrets = scope.secrets();
    while !stop.load(Ordering::Relaxed) {
        tick.tick().await;
        let read = secrets.get(key).await.unwrap();
        seen.asked.fetch_add(1, Ordering::Relaxed);
        if server.token_of(&login(&read)).status == 200 {
            seen.revision.store(revision(&read), Ordering::Relaxed);
            continue;
        }
        seen.refused.fetch_add(1, Ordering::Relaxed);
        let again = secrets.get(key).await.unwrap();
        let replaced = revision(&again) > revision(&read);
        if replaced && server.token_of(&login(&again)).status == 200 {
            seen.replaced_meanwhile.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Kills one of two controllers at random moments and starts it again, until a stop is requested.
async fn kill_at_random(cluster: &Cluster, stop: &AtomicBool) -> u32 {
    let seed = std::process::id();
    println!("seed {seed}");
    let mut state = u64::from(seed) | 1;
    let flags = ["--leader-elect=false"];
    let mut controllers = [cluster.operator(&flags), cluster.operator(&flags)];
    let mut kills = 0;
    while !stop.load(Ordering::Relaxed) {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let moment = Duration::from_millis(600 + state % 1500);
        let _ = tokio::time::timeout(moment, std::future::pending::<()>()).await;
        let one = &mut controllers[usize::from(state & 1 == 0)];
        std::mem::replace(one, cluster.operator(&flags)).kill();
        kills += 1;
    }
    kills
}

/// Requests this many rotations. The consumer uses each new secret before the next request.
async fn rotate(scope: &Scope<'_>, key: &str, times: u32, discard: bool, seen: &Seen) {
    for n in 1..=times {
        let rotated = scope.rotate(key, &n.to_string()).await;
        let status = rotated.status.unwrap();
        eventually("the consumer uses the new secret", async || {
            (Some(seen.revision.load(Ordering::Relaxed)) >= status.revision).then_some(())
        })
        .await;
        if let Some(previous) = status.previous_secret.filter(|_| discard) {
            let previous = previous.revision.to_string();
            scope
                .annotate(key, &[(names::ANNOTATION_DISCARD_PREVIOUS, &previous)])
                .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_delivered_secret_is_refused_through_a_hundred_rotations_under_killed_controllers() {
    // Name, overlap in seconds, number of rotations, and whether to end each overlap by hand.
    const KEYS: [(&str, u32, u32, bool); 3] = [
        ("hour", 3600, 35, true),
        ("second", 1, 35, false),
        ("none", 0, 35, false),
    ];
    static CLUSTER: std::sync::OnceLock<Cluster> = std::sync::OnceLock::new();
    let cluster = CLUSTER.get_or_init(Cluster::start);
    let scope = Arc::new(cluster.scope().await);
    let server = Arc::new(cluster.token_server(&[]));
    let stop = Arc::new(AtomicBool::new(false));
    let killer = tokio::spawn({
        let stop = Arc::clone(&stop);
        async move { kill_at_random(cluster, &stop).await }
    });
    server.ready().await;
    let mut consumers: Vec<(Arc<Seen>, JoinHandle<()>)> = Vec::new();
    let mut rotations = Vec::new();
    for (key, overlap, times, discard) in KEYS {
        scope
            .usable(
                &server,
                key,
                &format!("rotation: {{overlapSeconds: {overlap}}}"),
            )
            .await;
        let seen = Arc::new(Seen::default());
        let consumer = tokio::spawn({
            let (scope, server) = (Arc::clone(&scope), Arc::clone(&server));
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            async move { consume(&scope, &server, key, &seen, &stop).await }
        });
        consumers.push((Arc::clone(&seen), consumer));
        let scope = Arc::clone(&scope);
        rotations.push(tokio::spawn(async move {
            rotate(&scope, key, times, discard, &seen).await;
        }));
    }
    for rotation in rotations {
        rotation.await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    println!("controllers killed: {}", killer.await.unwrap());
    for ((key, overlap, times, _), (seen, consumer)) in KEYS.into_iter().zip(consumers) {
        consumer.await.unwrap();
        let [asked, refused, replaced] = [&seen.asked, &seen.refused, &seen.replaced_meanwhile]
            .map(|count| count.load(Ordering::Relaxed));
        println!(
            "{key}: {times} rotations, overlap {overlap} s, {asked} tokens requested, {refused} \
             refused, of those {replaced} replaced between read and request"
        );
        let wrong = if overlap == 0 {
            refused - replaced
        } else {
            refused
        };
        assert_eq!(wrong, 0, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_server_with_late_events_refuses_no_secret_that_was_just_delivered() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let _operator = cluster.operator(&[]);
    let tcp_proxy = cluster.tcp_proxy(Duration::from_millis(200)).await;
    let server = cluster.token_server_through(&tcp_proxy);
    server.ready().await;
    scope
        .usable(&server, "ci", "rotation: {overlapSeconds: 0}")
        .await;
    for wanted in 2..=6 {
        let token = wanted.to_string();
        scope
            .annotate("ci", &[(names::ANNOTATION_ROTATE_REQUESTED_AT, &token)])
            .await;
        let delivered = eventually("the operator delivers the new secret", async || {
            let secret = scope.secrets().get("ci").await.unwrap();
            (revision(&secret) == wanted).then_some(secret)
        })
        .await;
        assert_eq!(
            server.token_of(&login(&delivered)).status,
            200,
            "revision {wanted}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_server_without_events_answers_503_to_a_secret_that_may_be_new() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let _operator = cluster.operator(&[]);
    let mut tcp_proxy = cluster.tcp_proxy(Duration::ZERO).await;
    let server = cluster.token_server_through(&tcp_proxy);
    server.ready().await;
    scope.usable(&server, "ci", "").await;
    let old = login(&scope.secrets().get("ci").await.unwrap());
    assert_eq!(server.token_of(&old.forged(1)).status, 401);

    tcp_proxy.close().await;
    server.process.logged("A watch failed").await;
    scope.rotate("ci", "1").await;
    let new = login(&scope.secrets().get("ci").await.unwrap());
    let answer = server.token_of(&new);
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(server.token_of(&old).status, 200);

    tcp_proxy.open().await;
    eventually("the token server accepts the new secret", async || {
        let answer = server.token_of(&new);
        assert!([200, 503].contains(&answer.status), "{answer:?}");
        (answer.status == 200).then_some(())
    })
    .await;
    eventually("the token server refuses the forged secret", async || {
        (server.token_of(&old.forged(1)).status == 401).then_some(())
    })
    .await;
}
