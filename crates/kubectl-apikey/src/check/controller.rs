//! Checks that a controller is running: it renews its Lease.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Api;
use kube::api::ListParams;

use super::Finding;
use crate::exit::{Exit, Failure};
use crate::invocation::Cluster;
use crate::pages::{self, Listed, Unread};
use crate::time;
use apikey_api::names;
use apikey_client::error::request;
use apikey_client::object::Answer;

const NAME: &str = "controller";
/// Namespace in which the chart is usually installed.
const DEFAULT_NAMESPACE: &str = "apikey-operator";
/// Duration of a Lease that does not specify one.
const DEFAULT_SECONDS: i32 = 30;

pub(super) async fn look(cluster: &Cluster, namespace: Option<&str>, now: Timestamp) -> Finding {
    match find(cluster, namespace).await {
        Ok(lease) => judge(lease.as_ref(), namespace, now),
        Err(failure) => Finding::of_failure(NAME, &failure),
    }
}

/// Finds the Lease in the given namespace. Without a namespace, searches all namespaces, or the default
/// namespace if the user may not list Leases.
async fn find(cluster: &Cluster, namespace: Option<&str>) -> Result<Option<Lease>, Failure> {
    if namespace.is_none() {
        let params =
            ListParams::default().fields(&format!("metadata.name={}", names::CONTROLLER_LEASE));
        let api: Api<Answer<Lease>> = Api::all(cluster.client.clone());
        match pages::list(api, "list Leases", params).await {
            Ok(leases) => return newest(leases),
            Err(failure) if failure.exit() == Exit::Forbidden => {}
            Err(failure) => return Err(failure),
        }
    }
    let namespace = namespace.unwrap_or(DEFAULT_NAMESPACE);
    let api: Api<Answer<Lease>> = Api::namespaced(cluster.client.clone(), namespace);
    let lease = request("read the Lease", api.get_opt(names::CONTROLLER_LEASE));
    Ok(lease.await?.map(|Answer(lease)| lease))
}

/// Returns the Lease that was renewed last. Fails if only unreadable ones exist.
fn newest(leases: Listed<Lease>) -> Result<Option<Lease>, Failure> {
    let newest = leases.objects.into_iter().max_by_key(renewed);
    match (newest, leases.unreadable.first()) {
        (None, Some(Unread { identity, why })) => Err(Failure::failed(format!(
            "the Lease '{}' in namespace '{}' can't be read: {why}",
            identity.name,
            identity.namespace.as_deref().unwrap_or_default()
        ))),
        (newest, _) => Ok(newest),
    }
}

fn renewed(lease: &Lease) -> Option<Timestamp> {
    let spec = lease.spec.as_ref()?;
    spec.renew_time.as_ref().map(|time| time.0)
}

fn judge(lease: Option<&Lease>, namespace: Option<&str>, now: Timestamp) -> Finding {
    let Some(lease) = lease else {
        let place = namespace.map_or(String::new(), |name| format!(" in namespace '{name}'"));
        return Finding::failed(
            NAME,
            format!("there is no Lease '{}'{place}", names::CONTROLLER_LEASE),
            "start the operator, or name its namespace with --operator-namespace; an operator with \
             --leader-elect=false has no Lease",
        );
    };
    let namespace = lease.metadata.namespace.as_deref().unwrap_or_default();
    let spec = lease.spec.clone().unwrap_or_default();
    let holder = spec.holder_identity.unwrap_or_default();
    let seconds = spec.lease_duration_seconds.unwrap_or(DEFAULT_SECONDS);
    let life = SignedDuration::from_secs(i64::from(seconds));
    let renewed = renewed(lease);
    let fix = format!("look at the operator's pods: kubectl get pods -n {namespace}");
    let age = renewed.map(|time| (time, now.duration_since(time)));
    match age {
        Some((_, age)) if age <= life && !holder.is_empty() => {}
        // A controller that stops releases its Lease and leaves no holder.
        Some((time, _)) if !holder.is_empty() => {
            let since = time::age(time, now);
            let message =
                format!("nobody has renewed the Lease in namespace '{namespace}' for {since}");
            return Finding::failed(NAME, message, fix);
        }
        Some(_) | None => {
            let message = format!("nobody holds the Lease in namespace '{namespace}'");
            return Finding::failed(NAME, message, fix);
        }
    }
    let message = format!("'{holder}' leads in namespace '{namespace}'");
    Finding::ok(NAME, message)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::coordination::v1::LeaseSpec;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    use super::super::State;
    use super::*;

    #[test]
    fn a_lease_counts_while_it_is_renewed_and_held() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let lease = |holder: &str| Lease {
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                lease_duration_seconds: Some(15),
                renew_time: Some(MicroTime(at(100))),
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        };
        let state = |lease: Option<&Lease>, now| judge(lease, None, at(now)).state;
        assert_eq!(state(Some(&lease("pod")), 110), State::Ok);
        assert_eq!(state(Some(&lease("pod")), 116), State::Failed);
        assert_eq!(state(Some(&lease("")), 110), State::Failed);
        assert_eq!(state(None, 110), State::Failed);
        let mut given_back = lease("");
        given_back.spec.as_mut().unwrap().renew_time = None;
        let message = judge(Some(&given_back), None, at(110)).message;
        assert_eq!(message, "nobody holds the Lease in namespace ''");
        let message = judge(Some(&lease("pod")), None, at(400)).message;
        assert!(message.ends_with("for 5m"), "{message}");
    }
}
