//! Checks that keys are reconciled: their status is up to date, and those that should be ready are.

use std::collections::BTreeSet;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::ListParams;

use super::Finding;
use crate::exit::{Exit, Failure};
use crate::invocation::Cluster;
use crate::pages::Listed;
use crate::{key, pages};
use apikey_api::ApiKey;
use apikey_api::conditions::{self, reason};

const NAME: &str = "keys";
/// How long the controller may take for a new or changed key, in seconds.
const GRACE_SECONDS: i64 = 10;
/// Maximum number of keys that a message names.
const NAMED: usize = 3;

pub(super) async fn look(cluster: &Cluster, now: Timestamp) -> Finding {
    match read(cluster).await {
        Ok((keys, place)) => judge(&keys, &place, now),
        Err(failure) => Finding::of_failure(NAME, &failure),
    }
}

/// Reads all keys, or those of the namespace if the user may not list all.
async fn read(cluster: &Cluster) -> Result<(Listed<ApiKey>, String), Failure> {
    match pages::list(cluster.all_keys(), "list ApiKeys", ListParams::default()).await {
        Ok(keys) => Ok((keys, "in all namespaces".to_owned())),
        Err(failure) if failure.exit() == Exit::Forbidden => {
            let keys = pages::list(cluster.keys(), "list ApiKeys", ListParams::default()).await?;
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
        return Finding::failed(NAME, message, pages::unreadable(key).message());
    }
    let keys = &listed.objects;
    let count = keys.len();
    let unseen = keys.iter().filter(|key| !key::is_observed(key));
    let unseen: Vec<_> = unseen
        .filter(|key| is_over(key::created(key), now))
        .collect();
    if !unseen.is_empty() {
        return Finding::failed(
            NAME,
            format!(
                "{} of {count} {place} are not reconciled: {}",
                unseen.len(),
                named(&unseen, name)
            ),
            "check that the controller runs and watches their namespaces (--watch-namespaces)",
        );
    }
    let held: Vec<_> = keys.iter().filter(|key| is_held_up(key, now)).collect();
    if let Some(first) = held.first() {
        return Finding::failed(
            NAME,
            format!(
                "{} of {count} {place} are not ready: {}",
                held.len(),
                named(&held, with_reason)
            ),
            format!(
                "follow the message in the status of each key, for example {}",
                key::call(first, "status")
            ),
        );
    }
    let ready = keys
        .iter()
        .filter(|key| conditions::is_true(key::conditions_of(key), conditions::READY));
    let message = format!("{count} {place}, all reconciled, {} ready", ready.count());
    let waiting: Vec<_> = keys.iter().filter(|key| awaits_organization(key)).collect();
    if waiting.is_empty() {
        return Finding::ok(NAME, message);
    }
    let orgs: BTreeSet<_> = waiting.iter().map(|key| key.spec.org.as_str()).collect();
    let orgs: Vec<_> = orgs.into_iter().take(NAMED).collect();
    Finding {
        fix: format!(
            "create the Organizations, for example '{}', or create the keys again with another \
             `org`",
            orgs.join("', '")
        ),
        ..Finding::ok(
            NAME,
            format!(
                "{message}, {} without tokens because their Organization does not exist: {}",
                waiting.len(),
                named(&waiting, name)
            ),
        )
    }
}

/// Whether the grace period since this time has ended. An unknown time counts as long ago.
fn is_over(since: Option<Timestamp>, now: Timestamp) -> bool {
    let grace = SignedDuration::from_secs(GRACE_SECONDS);
    since.is_none_or(|since| now.duration_since(since) > grace)
}

/// Whether the key should be usable but is not. Suspended and expired keys are not usable on purpose.
fn is_held_up(key: &ApiKey, now: Timestamp) -> bool {
    let all = key::conditions_of(key);
    if key.spec.suspended
        || conditions::is_true(all, conditions::EXPIRED)
        || awaits_organization(key)
    {
        return false;
    }
    match key::ready(key) {
        None => is_over(key::created(key), now),
        // A stalled key makes no progress by itself, so there is no grace period.
        Some(_) if conditions::is_true(all, conditions::STALLED) => true,
        Some(ready) => ready.status != "True" && is_over(Some(ready.last_transition_time.0), now),
    }
}

fn awaits_organization(key: &ApiKey) -> bool {
    key::ready(key).is_some_and(|ready| ready.reason == reason::ORGANIZATION_NOT_FOUND)
}

fn name(key: &ApiKey) -> String {
    format!("{}/{}", key::namespace(key), key::name(key))
}

fn with_reason(key: &ApiKey) -> String {
    let reason = key::ready(key).map_or("no status", |ready| ready.reason.as_str());
    format!("{} ({reason})", name(key))
}

/// Names the first of these keys and counts the rest.
fn named(keys: &[&ApiKey], shown: impl Fn(&ApiKey) -> String) -> String {
    let names = keys.iter().take(NAMED).map(|key| shown(key));
    let names = names.collect::<Vec<_>>().join(", ");
    match keys.len().saturating_sub(NAMED) {
        0 => names,
        more => format!("{names} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

    use super::*;
    use crate::check::State;
    use apikey_api::{ApiKeySpec, ApiKeyStatus};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn condition(type_: &str, status: &str, reason: &str) -> Condition {
        Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: Time(at(100)),
        }
    }

    /// A key that was created at time 0, with these conditions since time 100.
    fn key(name: &str, all: Vec<Condition>) -> ApiKey {
        let mut key = ApiKey::new(name, ApiKeySpec::default());
        key.metadata.namespace = Some("team-a".to_owned());
        key.metadata.generation = Some(1);
        key.metadata.creation_timestamp = Some(Time(at(0)));
        key.status = Some(ApiKeyStatus {
            observed_generation: 1,
            conditions: all,
            ..ApiKeyStatus::default()
        });
        key
    }

    fn judged(keys: Vec<ApiKey>, now: i64) -> Finding {
        let listed = Listed {
            objects: keys,
            unreadable: Vec::new(),
        };
        judge(&listed, "in all namespaces", at(now))
    }

    #[test]
    fn keys_that_stay_not_ready_are_named_with_their_reasons() {
        let ready = || key("good", vec![condition("Ready", "True", "Issued")]);
        let held = |name: &str, reason: &str| key(name, vec![condition("Ready", "False", reason)]);
        let keys = vec![
            ready(),
            held("a", "ProgressingWithRetry"),
            held("b", "SecretRemovedRepeatedly"),
            key("c", Vec::new()),
            held("d", "ProgressingWithRetry"),
            held("e", "ProgressingWithRetry"),
        ];
        let found = judged(keys.clone(), 200);
        assert_eq!(found.state, State::Failed);
        assert_eq!(
            found.message,
            "5 of 6 in all namespaces are not ready: team-a/a (ProgressingWithRetry), team-a/b \
             (SecretRemovedRepeatedly), team-a/c (no status) and 2 more"
        );
        assert!(
            found.fix.contains("kubectl apikey status a -n team-a"),
            "{}",
            found.fix
        );
        let unseen = |key: &ApiKey| {
            let mut key = key.clone();
            key.status = None;
            key
        };
        let found = judged(vec![ready(), unseen(&ready())], 200);
        assert_eq!(found.state, State::Failed);
        assert_eq!(judged(vec![ready()], 200).state, State::Ok);
    }

    #[test]
    fn a_key_that_has_just_become_not_ready_or_is_so_by_will_or_time_is_left_out() {
        let working = || key("a", vec![condition("Ready", "Unknown", "Progressing")]);
        assert_eq!(judged(vec![working()], 109).state, State::Ok);
        assert_eq!(judged(vec![working()], 111).state, State::Failed);
        let stalled = key(
            "a",
            vec![
                condition("Ready", "False", "SecretConflict"),
                condition("Stalled", "True", "SecretConflict"),
            ],
        );
        assert_eq!(judged(vec![stalled], 101).state, State::Failed);
        let mut suspended = working();
        suspended.spec.suspended = true;
        let expired = key(
            "b",
            vec![
                condition("Ready", "False", "Expired"),
                condition("Stalled", "True", "Expired"),
                condition("Expired", "True", "Expired"),
            ],
        );
        assert_eq!(judged(vec![suspended, expired], 200).state, State::Ok);
    }
}
