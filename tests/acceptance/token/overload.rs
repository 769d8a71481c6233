//! More checks than the machine can do: callers that guess are limited, and known callers are served.

use std::thread::ScopedJoinHandle;

use apikey_api::names;

use crate::support::{Answer, Cluster, Login, OPERATOR_NAMESPACE, TokenServer};

/// The number of guesses at once. The one thread accepts fewer (32), and each takes more than 0.1 s.
const GUESSES: u8 = 80;

/// Sends all guesses at once. While the server checks them, the known caller sends requests.
fn attack(server: &TokenServer, key: &Login) -> Vec<Answer> {
    std::thread::scope(|threads| {
        let attackers: Vec<_> = (0..GUESSES)
            .map(|n| threads.spawn(move || server.token_of(&key.forged(n))))
            .collect();
        let mut calls = 0;
        while calls < 20 || !attackers.iter().all(ScopedJoinHandle::is_finished) {
            let answer = server.token_of(key);
            assert_eq!(answer.status, 200, "{answer:?}");
            calls += 1;
        }
        let answers = attackers.into_iter().map(|one| one.join().unwrap());
        answers.collect()
    })
}

/// Checks that the budget also limits introspection: guesses that need argon2id must wait.
fn assert_guesses_by_introspection_wait(server: &TokenServer, key: &Login) {
    let answers: Vec<_> = std::thread::scope(|threads| {
        let guess = |n| threads.spawn(move || server.introspect(key, &key.forged(n).secret));
        let guesses: Vec<_> = (100..120).map(guess).collect();
        guesses.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(
        answers.iter().any(|answer| answer.status == 429),
        "{answers:?}"
    );
    let active = |answer: &Answer| answer.status == 200 && answer.json()["active"] == true;
    assert!(!answers.iter().any(active), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_guesses_at_slow_hashes_is_limited_and_a_known_caller_is_served() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let slow = [
        "--leader-elect=false",
        "--argon2-memory-kib=65536",
        "--argon2-iterations=6",
    ];
    let controller = cluster.operator_at_full_cost(&slow);
    scope.apply_key("ci", "");
    let key = Login::of(&scope.credential(&scope.ready("ci").await).await);
    controller.kill();
    // Only argon2id can check these.
    let (secret, namespace) = (names::PEPPERS_SECRET, OPERATOR_NAMESPACE);
    scope.kubectl(&["delete", "secret", secret, "-n", namespace]);

    let generous = [
        "--hash-threads=1",
        "--source-failures-per-second=100000",
        "--failures-per-second=100000",
    ];
    let strict = ["--hash-threads=1", "--source-failures-per-second=1"];
    for (flags, message, reason) in [
        (&generous[..], 503, "Overloaded"),
        (&strict[..], 429, "TooManyFailures"),
    ] {
        let server = cluster.token_server(flags);
        server.ready().await;
        assert_eq!(server.token_of(&key).status, 200);
        let answers = attack(&server, &key);
        let waits: Vec<_> = answers
            .iter()
            .filter(|answer| answer.status == message)
            .collect();
        assert!(!waits.is_empty(), "{answers:?}");
        for answer in &answers {
            assert!([401, 429, 503].contains(&answer.status), "{answer:?}");
            let wait = answer.headers.get("retry-after");
            let wait = wait.map(|wait| wait.parse::<u32>().unwrap());
            assert_eq!(wait.is_some_and(|wait| wait >= 1), answer.status != 401);
        }
        if message == 429 {
            assert_guesses_by_introspection_wait(&server, &key);
        }
        let refusals =
            format!("apikey_refusals_total{{route=\"api-key-token\",reason=\"{reason}\"}}");
        assert!(server.process.metric(&refusals).unwrap() >= 1.0);
        let cached = server
            .process
            .metric("apikey_secrets_verified_total{path=\"cache\"}");
        assert!(cached.unwrap() >= 20.0);
    }
}
