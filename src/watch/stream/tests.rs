use std::sync::Arc;

use axum::body::Body as Answer;
use axum::http::{Request, Response};
use k8s_openapi::api::core::v1::Namespace;
use kube::client::Body as Asked;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::*;
use apikey_client::object::NamespaceLabels;

/// The requests, as path and query.
type Log = Arc<Mutex<Vec<String>>>;

/// A watcher of an API server that answers with this function.
fn watcher(
    answer: impl Fn(&str) -> (u16, String) + Clone + Send + 'static,
) -> (Watcher<NamespaceLabels>, Log) {
    let log = Log::default();
    let noted = Arc::clone(&log);
    let service = tower::service_fn(move |request: Request<Asked>| {
        let asked = request.uri().to_string();
        let (code, body) = answer(&asked);
        noted.lock().push(asked);
        let answer = Response::builder().status(code).body(Answer::from(body));
        std::future::ready(answer)
    });
    let client = Client::new(service, "default");
    let source = Source::of::<Namespace>(None).metadata();
    (Watcher::new(client, source, 60), log)
}

fn namespace(name: &str, version: u64) -> Value {
    json!({"metadata": {"name": name, "uid": name, "resourceVersion": version.to_string()}})
}

fn line(type_: &str, object: &Value) -> String {
    json!({"type": type_, "object": object}).to_string() + "\n"
}

fn end_of_list(version: u64) -> String {
    line(
        "BOOKMARK",
        &json!({"metadata": {"resourceVersion": version.to_string(),
            "annotations": {"k8s.io/initial-events-end": "true"}}}),
    )
}

fn page(version: u64, items: &[Value], token: &str) -> String {
    let metadata = json!({"resourceVersion": version.to_string(), "continue": token});
    json!({"metadata": metadata, "items": items}).to_string()
}

fn describe(output: &Output<NamespaceLabels>) -> String {
    match output {
        Output::UpToDate => "up to date".into(),
        Output::Event(Event::Init) => "list".into(),
        Output::Event(Event::InitDone) => "whole".into(),
        Output::Event(Event::InitApply(stored) | Event::Apply(stored)) => {
            let mark = if stored.object.is_ok() { "" } else { "?" };
            format!("{mark}{}", stored.identity.name)
        }
        Output::Event(Event::Delete(identity)) => format!("-{}", identity.name),
    }
}

/// The next outputs, with errors in brackets.
async fn next(watcher: &mut Watcher<NamespaceLabels>, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(match watcher.next().await {
            Ok(output) => describe(&output),
            Err(error) => format!("[{error}]"),
        });
    }
    all
}

fn is_stream(asked: &str) -> bool {
    asked.contains("sendInitialEvents=true")
}

#[tokio::test(start_paused = true)]
async fn a_list_comes_as_a_stream_and_an_item_that_can_t_be_read_costs_neither_a_wait_nor_an_error()
{
    let bad = json!({"metadata": {"name": "bad", "uid": "u", "resourceVersion": "3", "labels": 7}});
    let (mut watcher, log) = watcher(move |asked| {
        let body = if is_stream(asked) {
            line("ADDED", &namespace("a", 2)) + &line("ADDED", &bad) + &end_of_list(5)
        } else {
            line(
                "MODIFIED",
                &bad.to_string().replace(r#""3""#, r#""6""#).parse().unwrap(),
            ) + &line(
                "DELETED",
                &json!({"metadata": {"name": "a", "uid": "a",
                    "resourceVersion": "7", "labels": 7}}),
            )
        };
        (200, body)
    });
    let begun = Instant::now();
    let all = next(&mut watcher, 6).await;
    assert_eq!(all, ["list", "a", "?bad", "whole", "?bad", "-a"]);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert!(log.lock()[1].contains("resourceVersion=5"));
}

#[tokio::test(start_paused = true)]
async fn where_lists_come_in_pages_one_that_is_too_large_is_asked_for_again_in_smaller_ones() {
    let (mut watcher, log) = watcher(|asked| {
        if is_stream(asked) {
            return (
                422,
                json!({"kind": "Status", "code": 422, "message": "no"}).to_string(),
            );
        }
        let limit = |n: u32| {
            asked.contains(&format!("limit={n}&")) || asked.ends_with(&format!("limit={n}"))
        };
        if [100, 50].into_iter().any(limit) {
            return (200, " ".repeat(9 * 1024 * 1024));
        }
        let (name, token) = if asked.contains("continue=") {
            ("b", "")
        } else {
            ("a", "t")
        };
        (200, page(5, &[namespace(name, 2)], token))
    });
    assert_eq!(next(&mut watcher, 4).await, ["list", "a", "b", "whole"]);
    let limits: Vec<_> = log.lock()[1..]
        .iter()
        .map(|asked| {
            asked
                .split("limit=")
                .nth(1)
                .unwrap()
                .split('&')
                .next()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(limits, ["100", "50", "25", "25"]);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_goes_backwards_leads_to_a_new_list() {
    let bookmark = |version: u64| {
        line(
            "BOOKMARK",
            &json!({"metadata": {"resourceVersion": version.to_string()}}),
        )
    };
    let (mut watcher, _) = watcher(move |asked| {
        let body = if is_stream(asked) {
            end_of_list(50)
        } else {
            bookmark(60) + &bookmark(20)
        };
        (200, body)
    });
    let all = next(&mut watcher, 6).await;
    assert_eq!(all[..3], ["list", "whole", "up to date"]);
    assert!(all[3].contains("went back from 60 to 20"), "{all:?}");
    assert_eq!(all[4..], ["list", "whole"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_broke_asks_first_whether_the_state_was_set_back() {
    let (mut watcher, log) = watcher(|asked| {
        if is_stream(asked) {
            return (200, end_of_list(50));
        }
        if asked.contains("watch=true") {
            return (200, "{\"type\": \"MODI".into());
        }
        (200, page(20, &[], ""))
    });
    let all = next(&mut watcher, 6).await;
    assert_eq!(all[..2], ["list", "whole"]);
    assert_eq!(all[2], "[the last line is incomplete]");
    assert!(all[3].contains("went back from 50 to 20"), "{all:?}");
    assert_eq!(all[4..], ["list", "whole"]);
    assert!(log.lock()[2].contains("limit=1"));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_early_and_delivers_nothing_proves_nothing() {
    let (mut watcher, _) = watcher(|asked| {
        let body = if is_stream(asked) {
            end_of_list(50)
        } else if asked.contains("watch=true") {
            String::new()
        } else {
            page(50, &[], "")
        };
        (200, body)
    });
    let all = next(&mut watcher, 5).await;
    let early = "[the watch ended early without any event]";
    assert_eq!(all, ["list", "whole", early, early, early]);
}

#[tokio::test(start_paused = true)]
async fn more_than_fits_into_memory_is_an_error_and_not_taken() {
    let (mut watcher, _) = watcher(|asked| {
        let body = if is_stream(asked) {
            end_of_list(50)
        } else {
            "x".repeat(17 * 1024 * 1024)
        };
        (200, body)
    });
    let all = next(&mut watcher, 3).await;
    assert_eq!(all[2], "[an object or a page is too large]");
}
