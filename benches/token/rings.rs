//! The key rings in the operator's namespace, and their replacement.

use std::time::Duration;

use apikey_api::names;
use apikey_client::clock::Clock;
use apikey_credential::fingerprint::PepperRing;
use apikey_credential::signing::{Algorithm, SigningRing};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, PostParams};

use crate::common::cluster::Cluster;
use crate::common::operator::OPERATOR_NAMESPACE;

/// The interval between reads of the ring.
const LOOK: Duration = Duration::from_millis(50);

fn rings(cluster: &Cluster) -> Api<Secret> {
    Api::namespaced(cluster.client.clone(), OPERATOR_NAMESPACE)
}

/// Lets a controller create a ring with a key of this algorithm, as docs/security.md describes. No controller runs
/// before or after.
pub(crate) async fn fresh_signing_ring(cluster: &Cluster, algorithm: Algorithm) -> SigningRing {
    let secrets = rings(cluster);
    let name = names::SIGNING_KEYS_SECRET;
    secrets
        .delete(name, &DeleteParams::default())
        .await
        .unwrap();
    let algorithm = format!("--signing-algorithm={}", algorithm.as_str());
    let _controller = cluster.start_operator(&[&algorithm, "--leader-elect=false"]);
    let mut tick = tokio::time::interval(LOOK);
    loop {
        tick.tick().await;
        if secrets.get_opt(name).await.unwrap().is_some() {
            return signing_ring(cluster).await;
        }
    }
}

/// The ring of signing keys.
pub(crate) async fn signing_ring(cluster: &Cluster) -> SigningRing {
    let secret = rings(cluster)
        .get(names::SIGNING_KEYS_SECRET)
        .await
        .unwrap();
    let data = secret.data.unwrap();
    SigningRing::parse(&data[names::KEY_RING_DATA_KEY].0).unwrap()
}

/// Replaces the peppers with a ring of fresh ones, as if they were lost. No controller runs.
pub(crate) async fn replace_peppers(cluster: &Cluster) {
    let secrets = rings(cluster);
    let mut secret = secrets.get(names::PEPPERS_SECRET).await.unwrap();
    let ring = PepperRing::generate(Clock::system().now()).unwrap();
    let json = ByteString(ring.to_json().unwrap().to_vec());
    secret.data = Some([(names::KEY_RING_DATA_KEY.to_owned(), json)].into());
    secrets
        .replace(names::PEPPERS_SECRET, &PostParams::default(), &secret)
        .await
        .unwrap();
}
