//! Kubernetes Events (`events.k8s.io/v1`), written in the background. They are dropped if the queue
//! is full: the status and the audit log are authoritative. Each transition is an Event of its own,
//! with its own message. [`super::message_limits`] bounds their number for each object.

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::mpsc;

use crate::metrics::Metrics;
use apikey_api::names;
use apikey_api::text::printable;
use apikey_client::clock::Clock;
use apikey_client::error;

/// Maximum number of Events that wait to be written; more are dropped.
const QUEUE: usize = 16_384;
/// Number of Events written at the same time.
const WRITERS: usize = 4;
/// Longest note that the API accepts.
const MAX_NOTE_CHARS: usize = 1000;

/// The content of an Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// `Normal` or `Warning`.
    pub severity: Severity,
    /// One of [`apikey_api::conditions::reason`].
    pub reason: &'static str,
    /// Human-readable, without control characters.
    pub message: String,
}

impl Transition {
    /// Creates a transition. Its message may quote text of others.
    #[must_use]
    pub fn new(severity: Severity, reason: &'static str, message: &str) -> Self {
        Self {
            severity,
            reason,
            message: printable(message).into_owned(),
        }
    }
}

/// `type` of an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Expected.
    Normal,
    /// Unusual.
    Warning,
}

/// Publishes Events.
#[derive(Clone, Debug)]
pub struct Events {
    queue: mpsc::Sender<(ObjectReference, Transition)>,
    metrics: Metrics,
}

impl Events {
    /// Starts the writer. It ends when the last clone of the result is dropped.
    #[must_use]
    pub fn start(client: Client, clock: Clock, metrics: Metrics, instance: String) -> Self {
        let (queue, mut waiting) = mpsc::channel::<(ObjectReference, Transition)>(QUEUE);
        let dropped = metrics.clone();
        tokio::spawn(async move {
            let waiting = futures::stream::poll_fn(|cx| waiting.poll_recv(cx));
            waiting
                .for_each_concurrent(WRITERS, |(regarding, transition)| async {
                    let event = render(regarding, transition, &clock, &instance);
                    let namespace = event.metadata.namespace.clone().unwrap_or_default();
                    let events = Api::<Event>::namespaced(client.clone(), &namespace);
                    let params = PostParams::default();
                    let written = events.create(&params, &event);
                    if let Err(error) = error::request("write an Event", written).await {
                        tracing::debug!(%error, namespace, "An Event was not written");
                        metrics.event_dropped();
                    }
                })
                .await;
        });
        Self {
            queue,
            metrics: dropped,
        }
    }

    /// Queues the Event, if there is room.
    pub fn publish(&self, regarding: ObjectReference, transition: Transition) {
        if self.queue.try_send((regarding, transition)).is_err() {
            self.metrics.event_dropped();
        }
    }
}

fn render(
    regarding: ObjectReference,
    transition: Transition,
    clock: &Clock,
    instance: &str,
) -> Event {
    let Transition {
        severity,
        reason,
        message,
    } = transition;
    let name: String = regarding
        .name
        .iter()
        .flat_map(|name| name.chars())
        .take(63)
        .collect();
    Event {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", name.trim_end_matches(['.', '-']))),
            // Events of cluster-scoped objects are stored in namespace `default`, like those of
            // Nodes.
            namespace: Some(
                regarding
                    .namespace
                    .clone()
                    .unwrap_or_else(|| "default".into()),
            ),
            ..ObjectMeta::default()
        },
        action: Some("Reconcile".to_owned()),
        event_time: Some(MicroTime(clock.now())),
        note: Some(message.chars().take(MAX_NOTE_CHARS).collect()),
        reason: Some(reason.to_owned()),
        regarding: Some(regarding),
        reporting_controller: Some(names::EVENT_REPORTER.to_owned()),
        reporting_instance: Some(instance.to_owned()),
        type_: Some(match severity {
            Severity::Normal => "Normal".to_owned(),
            Severity::Warning => "Warning".to_owned(),
        }),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests;
