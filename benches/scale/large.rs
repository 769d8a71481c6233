//! Measures the memory of both processes with objects of the greatest size that the API server accepts. Each kind has
//! its own control plane. Memory is read after a start and after the watches have listed again.

use std::time::{Duration, Instant};

use apikey_api::names;
use axum::http::Method;
use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::common::cluster::{Cluster, ORGANIZATION, SERVICE_ACCOUNT};
use crate::common::report::{Report, progress};
use crate::measured::{Measurements, show};
use crate::raw;
use crate::scenarios::{ALONE, CHEAP, IDLE, WHO, idle};
use crate::server::{ACCOUNT, Servers};

const NAMESPACE: &str = "bench";
const API_VERSION: &str = "apikey-operator.dev/v1alpha1";
/// The filling of an object. With the rest it is almost as large as etcd accepts in one request. Unit: bytes.
const FILLING: usize = 1_450_000;
/// The annotations of one object. The API server accepts 256 KiB. Unit: bytes.
const ANNOTATIONS: usize = 250_000;
/// The number of objects that are written at the same time.
const CREATORS: usize = 4;
const LOOK: Duration = Duration::from_millis(200);
/// Longest wait for new lists.
const PATIENCE: Duration = Duration::from_mins(2);

/// What fills an object.
#[derive(Clone, Copy, Debug)]
enum Filling {
    Labels,
    Finalizers,
    ManagedFields,
    Annotations,
}

/// A kind of object, and the fillings that its objects get in turn.
struct Kind {
    plural: &'static str,
    collection: &'static str,
    /// Whether the token server watches it too.
    is_of_server: bool,
    fillings: &'static [Filling],
}

const KINDS: [Kind; 4] = [
    Kind {
        plural: "apikeys",
        collection: "/apis/apikey-operator.dev/v1alpha1/namespaces/bench/apikeys",
        is_of_server: true,
        fillings: &[
            Filling::Finalizers,
            Filling::ManagedFields,
            Filling::Labels,
            Filling::Annotations,
        ],
    },
    Kind {
        plural: "organizations",
        collection: "/apis/apikey-operator.dev/v1alpha1/organizations",
        is_of_server: true,
        fillings: &[
            Filling::Finalizers,
            Filling::ManagedFields,
            Filling::Labels,
            Filling::Annotations,
        ],
    },
    Kind {
        plural: "namespaces",
        collection: "/api/v1/namespaces",
        is_of_server: true,
        fillings: &[Filling::Labels],
    },
    Kind {
        plural: "secrets",
        collection: "/api/v1/namespaces/bench/secrets",
        is_of_server: false,
        fillings: &[Filling::Labels, Filling::ManagedFields, Filling::Finalizers],
    },
];

/// An empty table.
pub(crate) fn report() -> Report {
    Report::new(&["Measured", "Result", "Must be"])
}

/// Measures with this many objects of each kind.
pub(crate) async fn run(count: usize, report: &mut Report) -> Measurements {
    let mut measured = Measurements::default();
    let limits = limits_mib();
    for kind in KINDS {
        measure(&kind, count, limits, report, &mut measured).await;
    }
    for one in &measured.0 {
        let must_be = if one.must_be_zero { "0" } else { "" };
        report.add(vec![
            one.what.clone(),
            show(one.value, one.unit),
            must_be.to_owned(),
        ]);
    }
    report.note(format!(
        "{count} objects of each kind, each with {FILLING} bytes of finalizers, managedFields or labels, or with \
         {ANNOTATIONS} bytes of annotations, in turn. The limits are those of the chart: {} MiB for the \
         controller and {} MiB for the token server.",
        limits[0], limits[1]
    ));
    measured
}

async fn measure(
    kind: &Kind,
    count: usize,
    limits: [f64; 2],
    report: &mut Report,
    measured: &mut Measurements,
) {
    let Kind {
        plural,
        is_of_server,
        ..
    } = kind;
    progress(&format!("Starting a control plane for {count} {plural}"));
    let mut cluster = Cluster::start().await;
    report.kubernetes(
        cluster
            .client
            .apiserver_version()
            .await
            .unwrap()
            .git_version,
    );
    cluster.namespace(NAMESPACE);
    create(&cluster, kind, count).await;
    let servers = Servers::of(&cluster, &[]);
    let controller = cluster.start_operator(&[CHEAP, ALONE].concat());
    let server = servers.start(&[]);
    controller.ready().await;
    server.ready().await;
    let both = [&controller, &server.operator];
    idle(IDLE).await;
    let mut note = |when| {
        for ((who, operator), limit) in WHO.into_iter().zip(both).zip(limits) {
            let peak = operator.memory().peak;
            let what = format!("Peak memory of the {who} with {count} {plural}, {when}");
            measured.note(what.clone(), "MiB", peak);
            measured.must_be_zero(format!("{what}: over its limit"), u32::from(peak > limit));
        }
    };
    note("after a start");
    let accounts = [SERVICE_ACCOUNT, ACCOUNT];
    let accounts = if *is_of_server {
        &accounts[..]
    } else {
        &accounts[..1]
    };
    let listed = |account: &str| lists(&cluster, account, plural);
    let before: Vec<_> = accounts.iter().map(|account| listed(account)).collect();
    let control_plane = &mut cluster.control_plane;
    tokio::task::block_in_place(|| control_plane.restart_apiserver()).unwrap();
    let begun = Instant::now();
    let listed = |account: &str| lists(&cluster, account, plural);
    while !accounts
        .iter()
        .zip(&before)
        .all(|(account, before)| listed(account) > *before)
    {
        assert!(begun.elapsed() < PATIENCE, "{plural} are not listed anew");
        idle(LOOK).await;
    }
    for operator in both {
        assert!(operator.get("/livez").is_some(), "a process has ended");
    }
    idle(IDLE).await;
    note("after new lists");
}

/// How many streamed lists of this kind an account has read to the end.
fn lists(cluster: &Cluster, account: &str, plural: &str) -> usize {
    let log = std::fs::read_to_string(cluster.control_plane.audit_log()).unwrap();
    let user = format!(":{account}\"");
    let resource = format!("\"resource\":\"{plural}\"");
    let marks = [
        &user,
        &resource,
        "sendInitialEvents=true",
        "ResponseComplete",
    ];
    let lines = log.lines();
    lines
        .filter(|line| marks.iter().all(|mark| line.contains(*mark)))
        .count()
}

async fn create(cluster: &Cluster, kind: &Kind, count: usize) {
    let creating = futures::stream::iter(0..count).map(async |n| {
        let object = kind.object(n);
        let sent = raw::send(
            &cluster.client,
            None,
            Method::POST,
            kind.collection,
            &object,
        )
        .await;
        let stored = sent.expect("the API server takes it");
        assert!(
            stored.len() >= ANNOTATIONS,
            "{} of {} bytes",
            kind.plural,
            stored.len()
        );
    });
    creating.buffer_unordered(CREATORS).collect::<()>().await;
    if kind.plural == "secrets" {
        let selector = names::component_selector(names::COMPONENT_API_KEY);
        let watched = format!("{}?limit=1&labelSelector={selector}", kind.collection);
        let first = raw::send(&cluster.client, None, Method::GET, &watched, &json!({})).await;
        assert!(first.unwrap().len() > FILLING, "no large Secret is watched");
    }
}

impl Kind {
    fn object(&self, n: usize) -> Value {
        let name = format!("large-{n:03}");
        let mut object = match self.plural {
            "apikeys" => json!({
                "apiVersion": API_VERSION, "kind": "ApiKey",
                "spec": { "org": ORGANIZATION, "roles": ["viewer"] },
            }),
            "organizations" => json!({
                "apiVersion": API_VERSION, "kind": "Organization",
                "spec": { "allowedNamespaces": { "from": "All" } },
            }),
            _ => json!({}),
        };
        let metadata = &mut object["metadata"];
        *metadata = json!({ "name": name, "labels": {} });
        match self.fillings[n % self.fillings.len()] {
            Filling::Labels => metadata["labels"] = labels(FILLING),
            Filling::Finalizers => metadata["finalizers"] = raw::finalizers(FILLING),
            Filling::ManagedFields => metadata["managedFields"] = managed_fields(self),
            Filling::Annotations => {
                metadata["annotations"] = json!({ "example.com/x": "x".repeat(ANNOTATIONS) });
            }
        }
        if self.plural == "secrets" {
            let labels = metadata["labels"].as_object_mut().unwrap();
            labels.extend(raw::delivered_labels().as_object().unwrap().clone());
        }
        object
    }
}

/// Labels of about this many bytes.
fn labels(bytes: usize) -> Value {
    let one = |n| (format!("example.com/{n:063}"), json!("v".repeat(63)));
    let length = r#""":"","#.len() + 75 + 63;
    Value::Object((0..bytes / length).map(one).collect())
}

/// `managedFields` of about the greatest size that an object has room for.
fn managed_fields(kind: &Kind) -> Value {
    let api_version = if kind.collection.starts_with("/api/v1") {
        "v1"
    } else {
        API_VERSION
    };
    let one = |n| (format!("f:{n:060}"), json!({}));
    let length = r#""":{},"#.len() + 62;
    let fields: serde_json::Map<_, _> = (0..FILLING / length).map(one).collect();
    raw::managed_fields(
        api_version,
        &json!({ "f:metadata": { "f:annotations": fields } }),
    )
}

/// The memory limits of controller and token server in the chart. Unit: MiB.
fn limits_mib() -> [f64; 2] {
    let values = include_str!("../../charts/apikey-operator/values.yaml");
    let values: Value = serde_saphyr::from_str(values).expect("values");
    ["controller", "tokenServer"].map(|process| {
        let limit = values[process]["resources"]["limits"]["memory"].as_str();
        let mib = limit.and_then(|limit| limit.strip_suffix("Mi")?.parse().ok());
        mib.expect("a limit in MiB")
    })
}
