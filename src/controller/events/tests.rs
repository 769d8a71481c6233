use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body as Answer;
use axum::http::{Method, Request, Response};
use k8s_openapi::jiff::Timestamp;
use kube::client::Body as Asked;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::*;
use apikey_api::conditions::reason;

/// An API server that takes Events. Each answer takes one permit.
#[derive(Clone, Default)]
struct Server {
    stored: Arc<Mutex<Vec<(Method, String, Event)>>>,
    running: Arc<AtomicUsize>,
    most_running: Arc<AtomicUsize>,
    permits: Option<Arc<Semaphore>>,
}

impl Server {
    /// A server that answers only as often as permits are added.
    fn held() -> Self {
        Self {
            permits: Some(Arc::new(Semaphore::new(0))),
            ..Self::default()
        }
    }

    fn events(&self) -> (Events, Metrics) {
        let server = self.clone();
        let service =
            tower::service_fn(move |request: Request<Asked>| server.clone().answer(request));
        let client = Client::new(service, "default");
        let (metrics, clock) = (Metrics::new(), Clock::from_fn(|| Timestamp::UNIX_EPOCH));
        let events = Events::start(client, clock, metrics.clone(), "pod_1".to_owned());
        (events, metrics)
    }

    async fn answer(self, request: Request<Asked>) -> Result<Response<Answer>, kube::Error> {
        let running = self.running.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_running.fetch_max(running, Ordering::Relaxed);
        if let Some(permits) = &self.permits {
            permits.acquire().await.unwrap().forget();
        }
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await?;
        let event = serde_json::from_slice(&body).unwrap();
        let path = head.uri.path().to_owned();
        self.stored.lock().push((head.method, path, event));
        self.running.fetch_sub(1, Ordering::Relaxed);
        Ok(Response::new(Answer::from(body)))
    }

    /// Waits until so many requests wait for their answer.
    async fn is_running(&self, count: usize) {
        while self.running.load(Ordering::Relaxed) < count {
            tokio::task::yield_now().await;
        }
    }

    /// The Events, once there are so many.
    async fn stored(&self, count: usize) -> Vec<(Method, String, Event)> {
        while self.stored.lock().len() < count {
            tokio::task::yield_now().await;
        }
        self.stored.lock().clone()
    }
}

fn key(name: &str) -> ObjectReference {
    ObjectReference {
        kind: Some("ApiKey".into()),
        namespace: Some("team".into()),
        name: Some(name.into()),
        uid: Some("u1".into()),
        ..ObjectReference::default()
    }
}

fn updated(message: &str) -> Transition {
    Transition::new(Severity::Normal, reason::UPDATED, message)
}

fn dropped(metrics: &Metrics) -> String {
    let text = metrics.encode().unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("apikey_events_dropped_total"));
    line.unwrap().to_owned()
}

#[tokio::test]
async fn each_change_is_an_event_with_its_own_message_even_of_one_reason() {
    let server = Server::default();
    let (events, _) = server.events();
    for message in [
        "Roles are now [a]",
        "Roles are now [b]",
        "Roles are now [b]",
    ] {
        events.publish(key("ci"), updated(message));
    }
    let stored = server.stored(3).await;
    let mut notes: Vec<_> = stored
        .iter()
        .map(|(method, path, event)| {
            assert_eq!(*method, Method::POST);
            assert_eq!(path, "/apis/events.k8s.io/v1/namespaces/team/events");
            assert_eq!(event.reason.as_deref(), Some("Updated"));
            event.note.clone().unwrap()
        })
        .collect();
    notes.sort_unstable();
    assert_eq!(
        notes,
        [
            "Roles are now [a]",
            "Roles are now [b]",
            "Roles are now [b]"
        ]
    );
}

#[tokio::test]
async fn an_event_has_what_the_api_demands_whatever_the_object_and_the_message() {
    let server = Server::default();
    let (events, metrics) = server.events();
    let longest = format!("{}.-{}", "a".repeat(62), "b".repeat(189));
    let message = format!("\u{1b}[2J{}", "ä".repeat(2000));
    events.publish(key(&longest), updated(&message));
    let stored = server.stored(1).await;
    let (_, _, event) = &stored[0];
    assert_eq!(event.regarding, Some(key(&longest)));
    let name = event.metadata.generate_name.as_deref().unwrap();
    assert_eq!(name, format!("{}-", "a".repeat(62)));
    let note = event.note.as_deref().unwrap();
    assert_eq!(note.chars().count(), MAX_NOTE_CHARS);
    assert!(!note.contains('\u{1b}'), "{note}");
    assert_eq!(
        event.reporting_controller.as_deref(),
        Some(names::EVENT_REPORTER)
    );
    assert_eq!(event.reporting_instance.as_deref(), Some("pod_1"));
    assert_eq!(dropped(&metrics), "apikey_events_dropped_total 0");
}

#[tokio::test]
async fn events_of_cluster_scoped_objects_are_in_namespace_default() {
    let server = Server::default();
    let (events, _) = server.events();
    let organization = ObjectReference {
        kind: Some("Organization".into()),
        name: Some("acme".into()),
        ..ObjectReference::default()
    };
    events.publish(organization.clone(), updated(""));
    let stored = server.stored(1).await;
    let (_, path, event) = &stored[0];
    assert_eq!(path, "/apis/events.k8s.io/v1/namespaces/default/events");
    assert_eq!(event.metadata.namespace.as_deref(), Some("default"));
    assert_eq!(event.regarding, Some(organization));
}

#[tokio::test]
async fn events_wait_in_bounded_memory_and_those_beyond_are_counted() {
    let server = Server::held();
    let (events, metrics) = server.events();
    events.publish(key("ci"), updated("first"));
    server.is_running(1).await;
    for _ in 0..QUEUE + 3 {
        events.publish(key("ci"), updated("another"));
    }
    assert_eq!(dropped(&metrics), "apikey_events_dropped_total 3");
    server.is_running(WRITERS).await;
    server.permits.as_ref().unwrap().add_permits(3 * WRITERS);
    server.stored(3 * WRITERS).await;
    server.is_running(WRITERS).await;
    assert_eq!(server.most_running.load(Ordering::Relaxed), WRITERS);
}

#[tokio::test]
async fn an_event_that_is_refused_is_counted_and_the_next_one_is_written() {
    let forbidden = r#"{"kind": "Status", "code": 403, "status": "Failure", "message": "no"}"#;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let service = tower::service_fn(move |request: Request<Asked>| {
        let is_first = count.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            let body = request.into_body().collect_bytes().await?;
            let (code, body) = if is_first {
                (403, forbidden.into())
            } else {
                (201, body)
            };
            let answer = Response::builder().status(code).body(Answer::from(body));
            Ok::<_, kube::Error>(answer.unwrap())
        }
    });
    let metrics = Metrics::new();
    let client = Client::new(service, "default");
    let events = Events::start(client, Clock::system(), metrics.clone(), "pod_1".to_owned());
    events.publish(key("ci"), updated("refused"));
    while dropped(&metrics) != "apikey_events_dropped_total 1" {
        tokio::task::yield_now().await;
    }
    events.publish(key("ci"), updated("written"));
    while asked.load(Ordering::Relaxed) < 2 {
        tokio::task::yield_now().await;
    }
    drop(events);
    assert_eq!(dropped(&metrics), "apikey_events_dropped_total 1");
}
