//! The Lease as it is read and written. Anybody who may write Leases decides its content, so the
//! times in it are compared and never interpreted, and any content is accepted.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use apikey_api::names;
use apikey_client::object::{Decode, Unreadable};

/// One version of the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The version, which is the precondition of each write.
    pub resource_version: Box<str>,
    /// The holder of the Lease, if there is one.
    pub holder: Option<Box<str>>,
    /// How long the holder keeps the Lease without a renewal.
    pub duration: Option<Duration>,
    /// How often the holder has changed.
    pub transitions: i32,
    /// The whole spec, for detecting changes.
    pub spec: Box<str>,
}

impl Decode for Record {
    fn decode(json: &str) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Read<'a> {
            metadata: Metadata,
            #[serde(borrow)]
            spec: Option<&'a RawValue>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Metadata {
            resource_version: Box<str>,
        }
        let read: Read<'_> = serde_json::from_str(json).map_err(|e| Unreadable::new(&e))?;
        let spec = read.spec.map_or("{}", RawValue::get);
        let fields = serde_json::from_str::<BTreeMap<String, &RawValue>>(spec).unwrap_or_default();
        let field = |name| fields.get(name).map(|value| value.get());
        let seconds = field("leaseDurationSeconds").and_then(parse::<u64>);
        Ok(Self {
            resource_version: read.metadata.resource_version,
            holder: field("holderIdentity").and_then(holder),
            duration: seconds.map(Duration::from_secs),
            transitions: field("leaseTransitions").and_then(parse).unwrap_or(0),
            spec: spec.into(),
        })
    }
}

fn parse<T: DeserializeOwned>(json: &str) -> Option<T> {
    serde_json::from_str(json).ok()
}

/// Nobody, or a name. A value that is not a name counts as another holder.
fn holder(json: &str) -> Option<Box<str>> {
    let name = match parse::<Option<Box<str>>>(json) {
        Some(name) => name?,
        None => json.into(),
    };
    Some(name).filter(|name| !name.is_empty())
}

/// A write of the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The version to replace; `None` to create the Lease.
    pub replaces: Option<Box<str>>,
    /// The change.
    pub change: Change,
}

/// A change of the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The writer becomes the holder.
    Acquire {
        /// How often the holder has changed, including this time.
        transitions: i32,
    },
    /// The writer remains the holder.
    Renew,
    /// Nobody holds it.
    Release,
}

impl Write {
    /// The object to create, or the patch to merge; `now` is only for people who look at it.
    #[must_use]
    pub fn body(&self, holder: &str, duration: Duration, now: Timestamp) -> Value {
        let mut metadata = json!({"name": names::CONTROLLER_LEASE});
        if let Some(version) = &self.replaces {
            metadata["resourceVersion"] = json!(version);
        }
        let now = MicroTime(now);
        let spec = match self.change {
            Change::Acquire { transitions } => json!({
                "holderIdentity": holder,
                "leaseDurationSeconds": duration.as_secs(),
                "acquireTime": now,
                "renewTime": now,
                "leaseTransitions": transitions,
                // These fields belong to coordinated leader election, which this Lease does not
                // use.
                "strategy": null,
                "preferredHolder": null,
            }),
            Change::Renew => json!({
                "holderIdentity": holder,
                "leaseDurationSeconds": duration.as_secs(),
                "renewTime": now,
            }),
            Change::Release => json!({
                "holderIdentity": null,
                "leaseDurationSeconds": null,
                "acquireTime": null,
                "renewTime": null,
            }),
        };
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": spec,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(spec: &str) -> Record {
        let json = format!(r#"{{"metadata": {{"resourceVersion": "7"}}, "spec": {spec}}}"#);
        Record::decode(&json).unwrap()
    }

    #[test]
    fn what_another_wrote_is_read_whatever_it_is() {
        let whole = read(
            r#"{"holderIdentity": "a", "leaseDurationSeconds": 15, "leaseTransitions": 3,
                "renewTime": "2999-01-01T00:00:00.000000Z"}"#,
        );
        assert_eq!(whole.holder.as_deref(), Some("a"));
        assert_eq!(whole.duration, Some(Duration::from_secs(15)));
        assert_eq!((whole.transitions, &*whole.resource_version), (3, "7"));
        for nobody in ["null", "{}", "[]", "7", r#"{"holderIdentity": ""}"#] {
            assert_eq!(read(nobody).holder, None, "{nobody}");
        }
        let odd =
            read(r#"{"holderIdentity": {"a": 1}, "leaseDurationSeconds": -1, "renewTime": 5}"#);
        assert_eq!(
            (odd.holder.as_deref(), odd.duration),
            (Some(r#"{"a": 1}"#), None)
        );
        let deep = format!(r#"{{"x": {}1{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(read(&deep).holder, None);
        let absent = Record::decode(r#"{"metadata": {"resourceVersion": "7"}}"#).unwrap();
        assert_eq!(absent.holder, None);
        // A write without a version would replace any version.
        Record::decode(r#"{"metadata": {}}"#).unwrap_err();
    }

    #[test]
    fn a_lease_that_is_given_back_looks_as_if_nobody_had_held_it() {
        let write = Write {
            replaces: Some("7".into()),
            change: Change::Release,
        };
        let body = write.body("a", Duration::from_secs(15), Timestamp::UNIX_EPOCH);
        assert_eq!(body["metadata"]["resourceVersion"], "7");
        assert!(
            body["spec"]
                .as_object()
                .unwrap()
                .values()
                .all(Value::is_null)
        );
    }
}
