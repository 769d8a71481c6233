//! Watches that feed the index and the signer. No Secret of a tenant is among them.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::jiff::SignedDuration;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::watcher::Event;
use kube::{Api, Client};

use super::service::Service;
use super::signer::Signer;
use crate::api::{ApiKey, Organization, names};
use crate::config::Common;
use crate::credential::fingerprint::PepperRing;
use crate::credential::signing::SigningRing;
use crate::metrics::Metrics;
use crate::watch::stored::{Verifier, value};
use crate::watch::watched::Part;
use crate::watch::{Feed, decoded, pruned};

/// A watch is opened anew after this time; so this is how soon a dead connection to the API server
/// is noticed. Unit: seconds.
const WATCH_TIMEOUT_SECONDS: i64 = 60;

/// The watches that tell of new secrets.
pub const OF_SECRETS: [&str; 2] = ["apikeys", "verifiers"];

/// Starts all watches.
pub fn start(service: &Arc<Service>, client: &Client, common: &Common, metrics: &Metrics) -> Feed {
    let timeout = watch_timeout_seconds(service.max_staleness);
    let mut feed = Feed::new(metrics, service.watches.clone(), timeout);
    let whole = Part::Whole;
    let index = || Arc::clone(&service.index);
    let into = index();
    feed.follow(
        ("organizations", &whole),
        Api::<DeserializeGuard<Organization>>::all(client.clone()),
        |all| all,
        decoded,
        move |event| into.organization(event),
    );
    for part in common.watched.parts() {
        let (into, of) = (index(), part.clone());
        feed.follow(
            ("apikeys", &part),
            part.api::<DeserializeGuard<ApiKey>>(client),
            |all| all,
            decoded,
            move |event| into.apikey(&of, event),
        );
        let (into, of) = (index(), part.clone());
        feed.follow(
            ("namespaces", &part),
            Api::<PartialObjectMeta<Namespace>>::all(client.clone()),
            |all| part.only_itself(all),
            pruned,
            move |event| into.namespace(&of, event),
        );
    }
    let secrets = || Api::<Secret>::namespaced(client.clone(), &common.namespace);
    let into = index();
    feed.follow(
        ("verifiers", &whole),
        secrets(),
        |all| all.labels(&names::component_selector(names::COMPONENT_VERIFIER)),
        |secret| Some(Verifier::read(secret)),
        move |event| into.verifier(event),
    );
    let named = |name: &str| format!("metadata.name={name}");
    let into = index();
    feed.follow(
        ("peppers", &whole),
        secrets(),
        |all| all.fields(&named(names::PEPPERS_SECRET)),
        Some,
        move |event| match event {
            Event::InitApply(secret) | Event::Apply(secret) => {
                match PepperRing::parse(value(&secret, names::KEY_RING_DATA_KEY)) {
                    Ok(ring) => into.use_peppers(ring),
                    Err(error) => drop(unusable(names::PEPPERS_SECRET, &error)),
                }
            }
            Event::Init | Event::InitDone | Event::Delete(_) => {}
        },
    );
    let into = Arc::clone(service);
    feed.follow(
        ("signing ring", &whole),
        secrets(),
        |all| all.fields(&named(names::SIGNING_KEYS_SECRET)),
        Some,
        move |event| match event {
            Event::InitApply(secret) | Event::Apply(secret) => {
                let problem = match SigningRing::parse(value(&secret, names::KEY_RING_DATA_KEY))
                    .map(Signer::new)
                {
                    Ok(Ok(signer)) => {
                        *into.signer.write() = Some(Arc::new(signer));
                        None
                    }
                    Ok(Err(error)) => Some(unusable(names::SIGNING_KEYS_SECRET, &error)),
                    Err(error) => Some(unusable(names::SIGNING_KEYS_SECRET, &error)),
                };
                *into.unusable_ring.write() = problem;
            }
            Event::Init | Event::InitDone | Event::Delete(_) => {}
        },
    );
    feed
}

/// A watch without news is silent until it is opened anew, so that has to happen well within the
/// time that may pass without hearing from the API server.
fn watch_timeout_seconds(max_staleness: SignedDuration) -> u32 {
    let third = max_staleness.as_secs() / 3;
    u32::try_from(third.clamp(1, WATCH_TIMEOUT_SECONDS)).unwrap_or(1)
}

/// Logs why a ring can't be used, and returns that with the fix.
fn unusable(secret: &'static str, error: &dyn std::error::Error) -> String {
    tracing::error!(secret, %error, "The ring can't be used: restore it from a backup; going on \
        with the one known before, if there is one");
    format!("{error}: restore Secret {secret} from a backup")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_is_opened_anew_well_before_silence_counts_as_staleness() {
        let of = |seconds| watch_timeout_seconds(SignedDuration::from_secs(seconds));
        assert_eq!([of(1), of(3), of(90), of(24 * 3600)], [1, 1, 30, 60]);
    }
}
