//! Whether keys are looked after: their status is about their spec.

use std::collections::BTreeSet;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::ListParams;

use super::Finding;
use crate::api::ApiKey;
use crate::api::conditions::{self, reason};
use crate::cli::exit::{Exit, Failure};
use crate::cli::invocation::Cluster;
use crate::cli::select::Listed;
use crate::cli::{key, select};

const NAME: &str = "keys";
/// A new key may take this long. Unit: seconds.
const GRACE_SECONDS: i64 = 10;
/// Keys that are named.
const NAMED: usize = 3;

pub(super) async fn look(cluster: &Cluster, now: Timestamp) -> Finding {
    match read(cluster).await {
        Ok((keys, place)) => judge(&keys, &place, now),
        Err(failure) => Finding::of_failure(NAME, &failure),
    }
}

/// All keys, or those of the namespace if that is all that may be read.
async fn read(cluster: &Cluster) -> Result<(Listed<ApiKey>, String), Failure> {
    match select::list(cluster.all_keys(), "list ApiKeys", ListParams::default()).await {
        Ok(keys) => Ok((keys, "in all namespaces".to_owned())),
        Err(failure) if failure.exit() == Exit::Forbidden => {
            let keys = select::list(cluster.keys(), "list ApiKeys", ListParams::default()).await?;
            Ok((keys, format!("in namespace '{}'", cluster.namespace)))
        }
        Err(failure) => Err(failure),
    }
}

fn judge(listed: &Listed<ApiKey>, place: &str, now: Timestamp) -> Finding {
    if let Some(key) = listed.unreadable.first() {
        let count = listed.unreadable.len();
        let message = format!(
            "{count} {place} can't be read, for example '{}'",
            key.identity.name
        );
        return Finding::failed(NAME, message, select::unreadable(key).message());
    }
    let keys = &listed.objects;
    let grace = SignedDuration::from_secs(GRACE_SECONDS);
    let is_old =
        |key: &&ApiKey| key::created(key).is_none_or(|created| now.duration_since(created) > grace);
    let unseen = keys.iter().filter(|key| !key::is_observed(key));
    let unseen: Vec<_> = unseen.filter(is_old).collect();
    let count = keys.len();
    if unseen.is_empty() {
        if let Some(finding) = stuck(keys, place) {
            return finding;
        }
        let ready = keys
            .iter()
            .filter(|key| conditions::is_true(key::conditions_of(key), conditions::READY));
        let message = format!("{count} {place}, all reconciled, {} ready", ready.count());
        let waits = |key: &&ApiKey| {
            key::ready(key).is_some_and(|ready| ready.reason == reason::ORGANIZATION_NOT_FOUND)
        };
        let waiting: Vec<_> = keys.iter().filter(waits).collect();
        if waiting.is_empty() {
            return Finding::ok(NAME, message);
        }
        let orgs: BTreeSet<_> = waiting.iter().map(|key| key.spec.org.as_str()).collect();
        let orgs: Vec<_> = orgs.into_iter().take(NAMED).collect();
        return Finding {
            fix: format!(
                "create the Organizations, for example '{}', or create the keys anew with another `org`",
                orgs.join("', '")
            ),
            ..Finding::ok(
                NAME,
                format!(
                    "{message}, {} without tokens because their Organization does not exist: {}",
                    waiting.len(),
                    named(&waiting)
                ),
            )
        };
    }
    Finding::failed(
        NAME,
        format!(
            "{} of {count} {place} are not reconciled: {}",
            unseen.len(),
            named(&unseen)
        ),
        "see that the controller runs and watches their namespaces (--watch-namespaces)",
    )
}

/// Keys that get no further before somebody changes something. One that has expired is at its end.
fn stuck(keys: &[ApiKey], place: &str) -> Option<Finding> {
    let is_stuck = |key: &&ApiKey| {
        let all = key::conditions_of(key);
        conditions::is_true(all, conditions::STALLED)
            && !conditions::is_true(all, conditions::EXPIRED)
    };
    let stuck: Vec<_> = keys.iter().filter(is_stuck).collect();
    let first = stuck.first()?;
    let names = stuck.iter().take(NAMED).map(|key| {
        let reason = key::ready(key).map_or("", |ready| ready.reason.as_str());
        format!("{}/{} ({reason})", key::namespace(key), key::name(key))
    });
    let names: Vec<_> = names.collect();
    let more = if stuck.len() > NAMED { ", ..." } else { "" };
    let message = format!(
        "{} of {} {place} wait for somebody to change something: {}{more}",
        stuck.len(),
        keys.len(),
        names.join(", ")
    );
    let fix = format!(
        "do what the status of each says, for example kubectl apikey status {} -n {}",
        key::name(first),
        key::namespace(first)
    );
    Some(Finding::failed(NAME, message, fix))
}

/// The first of these keys, by name.
fn named(keys: &[&ApiKey]) -> String {
    let names = keys.iter().take(NAMED);
    let names: Vec<_> = names
        .map(|key| format!("{}/{}", key::namespace(key), key::name(key)))
        .collect();
    let more = if keys.len() > NAMED { ", ..." } else { "" };
    format!("{}{more}", names.join(", "))
}
