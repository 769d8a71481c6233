//! Measures the time from a change of a key to the first response with its effect, on each of two replicas.

use std::future::Future;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use apikey_api::ApiKey;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::{CHEAP, NAMESPACE, Setting};
use crate::claims;
use crate::cpu;
use crate::milliseconds::ms;
use crate::percentile::percentile;
use crate::pinned::NO_BUDGETS;
use crate::table::Table;
use crate::wire::{Answer, Wire};

/// The longest wait for the effect of a change.
const PATIENCE: Duration = Duration::from_secs(30);
const RECONCILED: Duration = Duration::from_millis(500);
const ROLE: &str = "editor";

pub(super) async fn measure(setting: &Setting<'_>, table: &mut Table) {
    let controller = setting
        .cluster
        .operator(&[&CHEAP[..], &["--leader-elect=false"]].concat())
        .await;
    controller.reconciled(setting.sizes.keys, RECONCILED).await;
    let replicas = [
        setting.servers.ready(&NO_BUDGETS).await,
        setting.servers.ready(&NO_BUDGETS).await,
    ];
    let addresses = replicas.each_ref().map(|replica| replica.address);
    let keys = Api::<ApiKey>::namespaced(setting.cluster.client.clone(), NAMESPACE);
    let tries = usize::try_from(setting.sizes.tries).unwrap();
    let (mut changed, mut revoked) = (Seen::default(), Seen::default());
    for holder in &setting.holders[..tries] {
        let (name, request) = (&holder.name, holder.request());
        let roles = json!({"spec": {"roles": ["viewer", ROLE]}});
        let (patch, parameters) = (Patch::Merge(&roles), PatchParams::default());
        let change = async {
            keys.patch(name, &parameters, &patch).await.unwrap();
        };
        changed.note(&attempt(addresses, &request, has_new_role, change).await);
        let delete = async {
            keys.delete(name, &DeleteParams::default()).await.unwrap();
        };
        revoked.note(&attempt(addresses, &request, is_refused, delete).await);
    }
    for (what, seen) in [
        ("a change of roles to the first token with them", changed),
        ("deleting a key to its first refusal", revoked),
    ] {
        let aim = "p99 < 100 ms";
        let (sent, confirmed) = (show(seen.since_sent), show(seen.since_confirmed));
        table.headline(&format!("From {what}, 2 replicas"), &sent, "", aim);
        let result =
            format!("{sent} from the request to the API server; {confirmed} from its answer");
        let what = format!("From {what}, {tries} tries on 2 replicas of the same core");
        table.row(what, result, "", "", aim);
    }
}

/// How long it took until a replica applied the change.
#[derive(Default)]
struct Seen {
    since_sent: Vec<Duration>,
    since_confirmed: Vec<Duration>,
}

impl Seen {
    fn note(&mut self, attempt: &Attempt) {
        for seen in attempt.seen {
            self.since_sent.push(seen.duration_since(attempt.sent));
            let confirmed = seen.saturating_duration_since(attempt.confirmed);
            self.since_confirmed.push(confirmed);
        }
    }
}

fn show(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |percent| ms(percentile(&times, percent));
    format!("p50 {}, p99 {}, max {}", at(50), at(99), at(100))
}

struct Attempt {
    /// When the request was sent to the API server.
    sent: Instant,
    /// When the API server had answered.
    confirmed: Instant,
    /// When each replica gave its first response with the effect.
    seen: [Instant; 2],
}

/// Makes a change while requests go to both replicas in a tight loop.
async fn attempt(
    addresses: [SocketAddr; 2],
    request: &[u8],
    knows: fn(&Answer<'_>) -> bool,
    change: impl Future<Output = ()>,
) -> Attempt {
    let (asking, is_asking) = oneshot::channel();
    let request: Box<[u8]> = request.into();
    let watch = tokio::task::spawn_blocking(move || {
        cpu::on_core(cpu::CALLER, || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let watch = watch(addresses, &request, knows, asking);
            runtime.block_on(async { tokio::time::timeout(PATIENCE, watch).await })
        })
    });
    is_asking
        .await
        .expect("both replicas know the key as it was");
    let sent = Instant::now();
    change.await;
    let confirmed = Instant::now();
    Attempt {
        sent,
        confirmed,
        seen: watch.await.unwrap().expect("a change that is seen"),
    }
}

async fn watch(
    addresses: [SocketAddr; 2],
    request: &[u8],
    knows: fn(&Answer<'_>) -> bool,
    asking: oneshot::Sender<()>,
) -> [Instant; 2] {
    let mut wires = Vec::new();
    for address in addresses {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut wire = Wire::new(stream);
        assert!(!knows(&wire.ask(request).await.unwrap()), "known before");
        wires.push(wire);
    }
    asking.send(()).unwrap();
    let mut seen = [None; 2];
    loop {
        for (wire, seen) in wires.iter_mut().zip(&mut seen) {
            if seen.is_none() && knows(&wire.ask(request).await.unwrap()) {
                *seen = Some(Instant::now());
            }
        }
        if let [Some(one), Some(other)] = seen {
            return [one, other];
        }
    }
}

fn is_refused(answer: &Answer<'_>) -> bool {
    assert!([200, 401].contains(&answer.status), "{}", answer.status);
    answer.status == 401
}

fn has_new_role(answer: &Answer<'_>) -> bool {
    assert_eq!(answer.status, 200);
    let claims = claims::of(answer.body);
    claims["roles"].as_array().unwrap().contains(&ROLE.into())
}
