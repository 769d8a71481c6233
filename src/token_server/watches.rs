//! Watches that feed the index and the signer. They do not cover Secrets of tenants.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::SignedDuration;

use super::service::Service;
use super::signer::Signer;
use super::watch_name;
use crate::config::Common;
use crate::process::Process;
use crate::watch::WatchSet;
use crate::watch::event::Event;
use crate::watch::scope::WatchScope;
use crate::watch::source::Source;
use crate::watch::stored::value;
use apikey_api::{ApiKey, Organization, names};
use apikey_credential::fingerprint::PepperRing;
use apikey_credential::signing::SigningRing;

/// A watch is reopened after this time. It bounds how late a dead connection to the API server is
/// noticed if connections are not probed (see [`crate::client`]). Unit: seconds.
const WATCH_TIMEOUT_SECONDS: i64 = 60;

/// Starts all watches.
pub fn start(service: &Arc<Service>, process: &Process, common: &Common) -> WatchSet {
    let timeout = watch_timeout_seconds(service.max_staleness);
    let mut watches = WatchSet::new(process.watch_context(), service.watches.clone(), timeout);
    let whole = WatchScope::Everything;
    let index = || Arc::clone(&service.index);
    let into = index();
    watches.follow(
        ("organizations", &whole),
        Source::of::<Organization>(None),
        move |event| into.organization(event),
    );
    for scope in common.watched.scopes() {
        let (into, of) = (index(), scope.clone());
        watches.follow(
            (watch_name::APIKEYS, &scope),
            scope.source::<ApiKey>(),
            move |event| {
                into.apikey(&of, event);
            },
        );
        let (into, of) = (index(), scope.clone());
        watches.follow(("namespaces", &scope), scope.namespaces(), move |event| {
            into.namespace(&of, event);
        });
    }
    let secrets = || Source::of::<Secret>(Some(&common.namespace));
    let into = index();
    watches.follow(
        (watch_name::RECORDS, &whole),
        secrets().labels(names::component_selector(names::COMPONENT_VERIFIER)),
        move |event| into.record(event),
    );
    let into = index();
    watches.follow(
        ("peppers", &whole),
        secrets().named(names::PEPPERS_SECRET),
        move |event| {
            if let Some(Ok(ring)) = ring_of(event, names::PEPPERS_SECRET, PepperRing::parse) {
                into.use_peppers(ring);
            }
        },
    );
    let into = Arc::clone(service);
    watches.follow(
        ("signing ring", &whole),
        secrets().named(names::SIGNING_KEYS_SECRET),
        move |event| {
            let parse = |json: &[u8]| {
                let ring = SigningRing::parse(json).map_err(|error| error.to_string())?;
                Signer::new(ring).map_err(|error| error.to_string())
            };
            if let Some(read) = ring_of(event, names::SIGNING_KEYS_SECRET, parse) {
                *into.unusable_ring.write() = match read {
                    Ok(signer) => {
                        *into.signer.write() = Some(Arc::new(signer));
                        None
                    }
                    Err(problem) => Some(problem),
                };
            }
        },
    );
    watches
}

/// The ring that an event contains, or why it can't be used; `None` if the event contains none.
fn ring_of<R, E: std::fmt::Display>(
    event: Event<Secret>,
    secret: &'static str,
    parse: impl FnOnce(&[u8]) -> Result<R, E>,
) -> Option<Result<R, String>> {
    let (Event::InitApply(stored) | Event::Apply(stored)) = event else {
        return None;
    };
    let read = match &stored.object {
        Ok(object) => parse(value(object, names::KEY_RING_DATA_KEY)).map_err(|e| e.to_string()),
        Err(unreadable) => Err(unreadable.to_string()),
    };
    Some(read.map_err(|error| unusable(secret, &error)))
}

/// A watch without changes is silent until it is reopened, so that must happen well within the
/// maximum staleness.
fn watch_timeout_seconds(max_staleness: SignedDuration) -> u32 {
    let third = max_staleness.as_secs() / 3;
    u32::try_from(third.clamp(1, WATCH_TIMEOUT_SECONDS)).unwrap_or(1)
}

/// Logs why a ring can't be used, and returns the reason with the fix.
fn unusable(secret: &'static str, error: &str) -> String {
    tracing::error!(
        secret,
        error,
        "The ring can't be used: restore it from a backup. Until then \
        the previous ring stays in use, if there is one"
    );
    format!("{error}: restore Secret {secret} from a backup")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_is_reopened_well_before_silence_counts_as_staleness() {
        let of = |seconds| watch_timeout_seconds(SignedDuration::from_secs(seconds));
        assert_eq!([of(1), of(3), of(90), of(24 * 3600)], [1, 1, 30, 60]);
    }
}
