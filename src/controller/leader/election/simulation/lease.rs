//! The Lease in the API server, with writes by electors and by others.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::super::super::record::{Record, Write};
use super::super::{Known, LEASE_DURATION, Outcome};
use super::{Event, Simulation};
use apikey_client::object::Decode as _;

impl Simulation {
    pub(super) fn stored(&self) -> Known {
        self.lease.as_ref().map_or(Known::Missing, |lease| {
            Known::Stored(Record::decode(&lease.to_string()).unwrap())
        })
    }

    /// Stores a spec and notifies the watches.
    fn store(&mut self, spec: Option<Value>) {
        self.version += 1;
        let version = self.version.to_string();
        self.lease =
            spec.map(|spec| json!({"metadata": {"resourceVersion": version}, "spec": spec}));
        for process in 0..2 {
            if let Some(way) = self.way() {
                let known = self.stored();
                self.schedule(self.now + way, Event::Seen { process, known });
            }
        }
    }

    pub(super) fn write(&mut self, holder: &str, write: &Write) -> Outcome {
        let version = self
            .lease
            .as_ref()
            .map(|lease| lease["metadata"]["resourceVersion"].clone());
        match (&write.replaces, version) {
            (Some(_), None) => return Outcome::Known(Known::Missing),
            (None, Some(_)) => return Outcome::Conflict,
            (Some(replaces), Some(version)) if version != **replaces => return Outcome::Conflict,
            (Some(_), Some(_)) | (None, None) => {}
        }
        let seconds = i64::try_from(self.dice.roll(200_000_000_000)).unwrap();
        let wall = Timestamp::from_second(seconds).unwrap();
        let body = write.body(holder, LEASE_DURATION, wall);
        let stored = self
            .lease
            .as_ref()
            .map_or(Value::Null, |lease| lease["spec"].clone());
        let mut spec = stored.as_object().cloned().unwrap_or_default();
        for (name, value) in body["spec"].as_object().unwrap() {
            if value.is_null() {
                spec.remove(name);
            } else {
                spec.insert(name.clone(), value.clone());
            }
        }
        self.store(Some(Value::Object(spec)));
        Outcome::Known(self.stored())
    }

    pub(super) fn edit(&mut self) {
        let mut spec = self
            .lease
            .as_ref()
            .map_or_else(|| json!({}), |lease| lease["spec"].clone());
        if !spec.is_object() {
            spec = json!({});
        }
        let own = self.processes[1].identity.to_string();
        let name = format!("somebody-{}", self.dice.roll(3));
        match self.dice.roll(9) {
            0 => return self.store(None),
            1 => spec = Value::Null,
            2 => spec["holderIdentity"] = json!(null),
            3 => spec["holderIdentity"] = json!(own),
            4 => spec["holderIdentity"] = json!({"no": "name"}),
            5 => spec = json!({"holderIdentity": name, "leaseDurationSeconds": i32::MAX}),
            6 => spec["leaseDurationSeconds"] = json!(-1),
            7 => spec["leaseTransitions"] = json!(i32::MAX),
            _ => spec["renewTime"] = json!(format!("2999-01-01T00:00:00.{:06}Z", self.version)),
        }
        self.store(Some(spec));
    }
}
