//! Traces go to the collector that the environment names. Without one, none are sent.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use prost::Message as _;

use crate::support::{Cluster, Login, TokenServer, eventually, form, free_address};

const TRACE_ID: [u8; 16] = [
    0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c,
];
const PARENT: [u8; 8] = [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31];
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// Sends a batch every 100 ms instead of every five seconds.
const OFTEN: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "100");

/// The requests that a collector received.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Bytes>>>);

impl Collector {
    /// Starts a collector that runs as long as the runtime. Returns its address.
    async fn start(&self) -> String {
        let take = async |State(Self(got)): State<Self>, headers: HeaderMap, body: Bytes| {
            assert_eq!(headers["content-type"], "application/x-protobuf");
            got.lock().push(body);
        };
        let router = Router::new().route("/v1/traces", post(take));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = axum::serve(listener, router.with_state(self.clone()));
        tokio::spawn(async { serving.await.unwrap() });
        format!("http://{address}")
    }

    /// All spans, each with the name of its process.
    fn spans(&self) -> Vec<(String, Span)> {
        let requests = self.0.lock().clone();
        let decode = |body| ExportTraceServiceRequest::decode(body).unwrap();
        let resources = requests.into_iter().map(decode);
        resources
            .flat_map(|request| request.resource_spans)
            .flat_map(|of_resource| {
                let resource = of_resource.resource.unwrap();
                let service = text(&resource.attributes, "service.name");
                let scopes = of_resource.scope_spans.into_iter();
                scopes
                    .flat_map(|scope| scope.spans)
                    .map(move |span| (service.clone(), span))
            })
            .collect()
    }

    /// Waits for the first span that matches.
    async fn span(&self, what: &str, like: impl Fn(&str, &Span) -> bool) -> Span {
        eventually(what, async || {
            let mut spans = self.spans().into_iter();
            spans
                .find(|(service, span)| like(service, span))
                .map(|(_, span)| span)
        })
        .await
    }

    /// Whether the text is anywhere in the requests.
    fn has(&self, text: &str) -> bool {
        let requests = self.0.lock();
        let mut windows = requests.iter().flat_map(|body| body.windows(text.len()));
        windows.any(|window| window == text.as_bytes())
    }
}

/// An attribute as text, or an empty text without it.
fn text(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|attribute| attribute.value.clone()) {
        Some(AnyValue {
            value: Some(Value::StringValue(text)),
        }) => text,
        Some(AnyValue {
            value: Some(Value::IntValue(number)),
        }) => number.to_string(),
        _ => String::new(),
    }
}

fn ask(server: &TokenServer, login: &Login) -> u16 {
    let headers = [
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("traceparent", TRACEPARENT),
        ("tracestate", "vendor=text-of-the-caller"),
        ("baggage", "who=text-of-the-caller"),
        ("User-Agent", "text-of-the-caller"),
    ];
    let body = form(&[("name", &login.name), ("secret", &login.secret)]);
    let path = "/auth/v1/api-key/token";
    server.send("POST", path, &headers, body.as_bytes()).status
}

#[tokio::test]
async fn reconciles_and_requests_are_traced_without_a_text_of_a_caller() {
    let collector = Collector::default();
    let endpoint = collector.start().await;
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), OFTEN];
    let cluster = Cluster::start();
    let operator = cluster.operator_in(&environment, &["--argon2-memory-kib=8"]);
    let server = cluster.token_server_in(&environment);
    let scope = cluster.scope().await;
    scope.apply_key("ci", "name: login-of-the-key");
    let key = scope.ready("ci").await;
    let credential = scope.credential(&key).await;
    server.ready().await;
    server.token_for(&credential).await;

    let reconcile = collector
        .span("a successful reconcile", |service, span| {
            service == "apikey-operator-controller"
                && span.name == "reconcile"
                && text(&span.attributes, "namespace") == scope.namespace
                && text(&span.attributes, "name") == "ci"
                && text(&span.attributes, "result") == "ok"
        })
        .await;
    assert_eq!(text(&reconcile.attributes, "controller"), "apikey");
    let request = collector
        .span("a request of a reconcile", |_, span| {
            span.trace_id == reconcile.trace_id && span.parent_span_id == reconcile.span_id
        })
        .await;
    assert_eq!(
        text(&request.attributes, "http.response.status_code").len(),
        3
    );
    assert!(!text(&request.attributes, "resource").is_empty());

    let login = Login::of(&credential);
    let forged = Login {
        name: "name-of-a-stranger".to_owned(),
        ..login.forged(7)
    };
    for (login, status, result) in [(&login, 200, "ok"), (&forged, 401, "refused")] {
        assert_eq!(ask(&server, login), status);
        let span = collector
            .span("the request of the caller's trace", |service, span| {
                service == "apikey-operator-token-server"
                    && span.trace_id == TRACE_ID
                    && text(&span.attributes, "result") == result
            })
            .await;
        assert_eq!(span.parent_span_id, PARENT);
        assert_eq!(span.trace_state, "");
        assert_eq!(text(&span.attributes, "route"), "api-key-token");
        let code = text(&span.attributes, "http.response.status_code");
        assert_eq!(code, status.to_string());
    }

    operator.terminate().await;
    server.process.terminate().await;
    for value in [
        &login.name,
        &login.secret,
        &forged.name,
        &forged.secret,
        "text-of-the-caller",
        "User-Agent",
    ] {
        assert!(!collector.has(value), "the traces contain {value}");
    }
    let random = login.secret.rsplit_once('_').unwrap().1;
    assert!(!collector.has(random), "the traces contain a secret");
}

#[tokio::test]
async fn what_is_not_sent_yet_is_sent_at_the_end_under_the_name_of_the_environment() {
    let collector = Collector::default();
    let endpoint = format!("{}/v1/traces", collector.start().await);
    let environment = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "3600000"),
        ("OTEL_SERVICE_NAME", "keys"),
    ];
    let cluster = Cluster::start();
    let _operator = cluster.operator(&[]);
    let server = cluster.token_server_in(&environment);
    server.ready().await;
    assert_eq!(server.get("/oauth2/jwks", &[]).status, 200);
    assert_eq!(collector.spans(), []);
    server.process.terminate().await;
    collector
        .span("a request after the shutdown", |service, span| {
            service == "keys" && text(&span.attributes, "route") == "jwks"
        })
        .await;
}

#[tokio::test]
async fn without_a_collector_tokens_are_issued_and_the_log_reports_it_once() {
    let nobody = format!("http://{}", free_address());
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", nobody.as_str()), OFTEN];
    let cluster = Cluster::start();
    let _operator = cluster.operator(&[]);
    let server = cluster.token_server_in(&environment);
    let scope = cluster.scope().await;
    scope.apply_key("ci", "");
    let key = scope.ready("ci").await;
    let login = Login::of(&scope.credential(&key).await);
    server.ready().await;
    let message = "Traces can't be sent";
    server.process.logged(message).await;
    for _ in 0..3000 {
        assert_eq!(server.token_of(&login).status, 200);
    }
    server.process.terminate().await;
    assert_eq!(server.process.stderr().matches(message).count(), 1);
}

#[tokio::test]
async fn without_an_endpoint_or_disabled_nothing_is_sent_and_no_log_speaks_of_traces() {
    let collector = Collector::default();
    let endpoint = collector.start().await;
    let disabled = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_SDK_DISABLED", "true"),
        OFTEN,
    ];
    let cluster = Cluster::start();
    let operator = cluster.operator(&[]);
    let server = cluster.token_server_in(&disabled);
    let scope = cluster.scope().await;
    scope.apply_key("ci", "");
    let key = scope.ready("ci").await;
    let login = Login::of(&scope.credential(&key).await);
    server.ready().await;
    eventually("the token server knows the key", async || {
        (ask(&server, &login) == 200).then_some(())
    })
    .await;
    operator.terminate().await;
    server.process.terminate().await;
    assert_eq!(collector.spans(), []);
    for log in [operator.stderr(), server.process.stderr()] {
        assert!(!log.contains("traces"), "{log}");
    }
}
