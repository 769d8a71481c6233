//! The checks of the final state of every key.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use apikey_api::Organization;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::StreamExt as _;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;

use super::enumerate::Case;
use super::run::Run;
use super::scenarios::Scenario;
use crate::support::{Answer, eventually, form, send};

/// The number of keys that are checked at the same time.
const JUDGES: usize = 16;
/// An annotation that changes a key, so that the watches get an event.
const TOUCHED: &str = "example.com/touched";
/// The length of a part of a secret, in clear or in base 64, that appears nowhere else by chance.
const FRAGMENT: usize = 40;

/// Checks that every key has its expected state, that nothing is left, and that no invariant was violated.
pub(super) async fn settled(run: &Run<'_>) {
    futures::stream::iter(run.cases)
        .for_each_concurrent(JUDGES, |case| key_is_settled(run, case))
        .await;
    run.history.look(|records| {
        let violations = records.violations();
        assert!(violations.is_empty(), "{violations:#?}");
        for case in run
            .cases
            .iter()
            .filter(|case| case.scenario == Scenario::Delete)
        {
            let delivered = records.count_values(&case.name);
            assert_eq!(delivered, 1, "{case:?}: a deleted key got a secret");
        }
        let of_keys = records.keys.values().map(|key| key.metadata.uid.as_ref());
        let of_keys: BTreeSet<_> = of_keys.flatten().collect();
        let proven: BTreeSet<_> = records.credential_records.keys().collect();
        assert_eq!(
            of_keys, proven,
            "one credential record for each key, and no other"
        );
        let delivering = run.cases.iter().filter(|case| case.scenario.is_delivered());
        let delivering: BTreeSet<_> = delivering.map(|case| &case.name).collect();
        let delivered: BTreeSet<_> = records.delivered.keys().collect();
        assert_eq!(
            delivering, delivered,
            "one Secret for each key, and no other"
        );
    });
}

async fn key_is_settled(run: &Run<'_>, case: &Case) {
    let Some(key) = run.history.key(&case.name) else {
        return;
    };
    let document = run.scope.document(&key).await.unwrap();
    assert!(
        document.pending.is_empty(),
        "{case:?}: an attempt is left over"
    );
    // Each attempt that went wrong takes a number.
    let least = case.scenario.revision();
    let numbers = least..=least + i64::try_from(case.faults.len()).unwrap();
    let number = document.current.revision;
    assert!(numbers.contains(&number), "{case:?}: {number}");
    let claim = &document.claim;
    assert!(case.scenario.is_handed_over(claim), "{case:?}: {claim:?}");
    let handled = key
        .status
        .as_ref()
        .unwrap()
        .handled_rotate_request
        .as_deref();
    assert_eq!(handled, case.scenario.handled_request(), "{case:?}");
    if case.scenario.is_delivered() {
        run.scope.credential(&key).await.assert_sound();
    }
}

/// Checks that a key is refused while it can't be read, in a list or in an event, and that other keys are not. It
/// gets tokens again after an event with the readable key.
pub(super) async fn refused_while_unreadable(run: &Run<'_>, server: SocketAddr) {
    let usable = run.cases.iter().filter(|case| case.scenario.is_usable());
    let (damaged, others): (Vec<_>, Vec<_>) = usable.partition(|case| case.is_damaged());
    if damaged.is_empty() {
        return;
    }
    let touch = async |value| {
        for case in &damaged {
            run.scope.annotate(&case.name, &[(TOUCHED, value)]).await;
        }
    };
    let set_readable = |is_readable| {
        for case in &damaged {
            run.faults.set_readable(&case.name, is_readable);
        }
    };
    let until_all_get = async |status: u16| {
        let what = format!("keys that are made unreadable, and readable again, get {status}");
        eventually(&what, async || {
            let mut answers = damaged.iter().map(|case| ask(run, case, server).status);
            answers.all(|answer| answer == status).then_some(())
        })
        .await;
    };
    for place in ["list", "event"] {
        set_readable(false);
        if place == "list" {
            run.faults.end_watches();
        } else {
            touch("unreadable").await;
        }
        until_all_get(401).await;
        for case in &others {
            assert_eq!(ask(run, case, server).status, 200, "{case:?} in a {place}");
        }
        set_readable(true);
        touch(place).await;
        until_all_get(200).await;
    }
}

/// Checks that the last delivered secret of a usable key gets a token that does not outlive the key.
pub(super) async fn tokens_before_expiry(run: &Run<'_>, server: SocketAddr) {
    for case in run.cases {
        if !case.scenario.is_usable() {
            is_refused(run, case, server).await;
            continue;
        }
        let answer = ask(run, case, server);
        let end = answer.claims()["exp"].as_i64().unwrap();
        let status = run.history.key(&case.name).unwrap().status.unwrap();
        let expiry = status.expires_at.unwrap().0.as_second();
        assert!(end <= expiry, "{case:?}: a token outlives its key");
    }
}

/// Checks that no secret of an expired key gets a token.
pub(super) async fn no_token_after_expiry(run: &Run<'_>, server: SocketAddr) {
    for case in run.cases {
        is_refused(run, case, server).await;
    }
}

/// Checks that the secret is refused. While the server is stale it may answer 503, so that is tried again.
async fn is_refused(run: &Run<'_>, case: &Case, server: SocketAddr) {
    let what = format!("the token server answers for {case:?}");
    let status = eventually(&what, async || {
        let status = ask(run, case, server).status;
        (status != 503).then_some(status)
    })
    .await;
    assert_eq!(status, 401, "{case:?}");
}

fn ask(run: &Run<'_>, case: &Case, server: SocketAddr) -> Answer {
    let secret = run
        .history
        .look(|records| records.last_values[&case.name].clone());
    let fields = form(&[("name", &case.name), ("secret", &secret)]);
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    send(
        server,
        "POST",
        "/auth/v1/api-key/token",
        &headers,
        fields.as_bytes(),
    )
}

/// Checks that no secret is outside delivered Secrets.
pub(super) async fn nothing_leaks(run: &Run<'_>) {
    let list = ListParams::default();
    let client = run.scope.client.clone();
    let events: Api<Event> = Api::namespaced(client.clone(), &run.scope.namespace);
    let events = events.list(&list).await.unwrap().items;
    let organizations: Api<Organization> = Api::all(client);
    let organizations = organizations.list(&list).await.unwrap().items;
    let audit_log = std::fs::read_to_string(run.cluster.control_plane.audit_log()).unwrap();
    run.history.look(|records| {
        let fragments: BTreeSet<_> = records
            .all_values()
            .flat_map(|value| fragments(value))
            .collect();
        let metadata: Vec<_> = records
            .delivered
            .values()
            .map(|secret| &secret.metadata)
            .collect();
        let credential_records: Vec<_> = records.credential_records.values().collect();
        let keys: Vec<_> = records.keys.values().collect();
        let mut shown = vec![
            ("Events", json(&events)),
            ("Organizations", json(&organizations)),
            ("ApiKeys", json(&keys)),
            ("metadata of Secrets", json(&metadata)),
            ("credential records", json(&credential_records)),
            ("audit logs of the API server", audit_log),
        ];
        shown.extend(run.shown.iter().cloned());
        for (place, text) in shown {
            assert!(!text.is_empty(), "there are no {place}");
            assert!(!leaks(&text, &fragments), "a secret is in the {place}");
        }
    });
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

fn fragments(secret: &str) -> [Vec<u8>; 2] {
    let (_, random) = secret.rsplit_once('_').unwrap();
    let encoded = BASE64.encode(secret);
    [
        random.as_bytes()[..FRAGMENT].to_vec(),
        encoded.as_bytes()[32..][..FRAGMENT].to_vec(),
    ]
}

fn leaks(text: &str, fragments: &BTreeSet<Vec<u8>>) -> bool {
    let is_of_secrets = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    let words = text.as_bytes().split(|byte| !is_of_secrets(byte));
    let mut pieces = words.flat_map(|word| word.windows(FRAGMENT));
    pieces.any(|piece| fragments.contains(piece))
}

#[test]
fn a_secret_in_clear_or_in_base_64_is_found_wherever_it_stands() {
    let secret = format!("ak_0123456789abcdef_{}", "Xy7".repeat(17));
    let fragments: BTreeSet<_> = fragments(&secret).into_iter().collect();
    assert!(leaks(&format!("a {secret}!"), &fragments));
    assert!(leaks(
        &format!("\"{}\"", BASE64.encode(&secret)),
        &fragments
    ));
    assert!(!leaks(&secret[..FRAGMENT], &fragments));
}
