//! Reports objects that can't be read, for administrators.
//!
//! The consequences are decided where the objects are stored: each place fails closed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use super::event::Event;
use apikey_client::object::{Identity, Unreadable};

/// Shortest time between two log entries of a watch about unreadable objects, so that somebody who
/// writes such objects can't fill the log.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// Namespace and name.
type Id = (Option<Box<str>>, Box<str>);

/// The unreadable objects of each kind. Clones share them; an object that two watches see is
/// counted once.
#[derive(Clone, Debug, Default)]
pub struct Quarantine(Arc<Mutex<BTreeMap<String, BTreeMap<Id, usize>>>>);

impl Quarantine {
    pub(super) fn watch(&self, kind: &str) -> OfWatch {
        self.0.lock().entry(kind.to_owned()).or_default();
        OfWatch {
            kind: kind.to_owned(),
            all: self.clone(),
            here: BTreeMap::new(),
            lists: 0,
            logged_at: None,
        }
    }

    fn enter(&self, kind: &str, id: Id) {
        let mut kinds = self.0.lock();
        *kinds
            .entry(kind.to_owned())
            .or_default()
            .entry(id)
            .or_default() += 1;
    }

    fn leave(&self, kind: &str, id: &Id) {
        if let Some(objects) = self.0.lock().get_mut(kind)
            && let Some(watches) = objects.get_mut(id)
        {
            *watches -= 1;
            if *watches == 0 {
                objects.remove(id);
            }
        }
    }
}

/// The unreadable objects of one watch.
#[derive(Debug)]
pub(super) struct OfWatch {
    kind: String,
    all: Quarantine,
    /// Maps each object to the number of the list in which, or after which, it was last seen.
    here: BTreeMap<Id, u64>,
    lists: u64,
    logged_at: Option<Instant>,
}

impl OfWatch {
    /// Handles an event.
    pub(super) fn note<K>(&mut self, event: &Event<K>) {
        match event {
            Event::Init => self.lists += 1,
            Event::InitDone => {
                let lists = self.lists;
                let gone = self.here.extract_if(.., |_, list| *list != lists);
                gone.for_each(|(id, _)| self.all.leave(&self.kind, &id));
            }
            Event::Delete(identity) => self.leave(identity),
            Event::InitApply(stored) | Event::Apply(stored) => match &stored.object {
                Ok(_) => self.leave(&stored.identity),
                Err(error) => self.enter(&stored.identity, error),
            },
        }
    }

    fn leave(&mut self, identity: &Identity) {
        if !self.here.is_empty() {
            let id = id(identity);
            if self.here.remove(&id).is_some() {
                self.all.leave(&self.kind, &id);
            }
        }
    }

    fn enter(&mut self, identity: &Identity, error: &Unreadable) {
        if self.here.insert(id(identity), self.lists).is_some() {
            return;
        }
        self.all.enter(&self.kind, id(identity));
        if self.logged_at.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
            self.logged_at = Some(Instant::now());
            let (kind, namespace, name) = (&*self.kind, &identity.namespace, &identity.name);
            tracing::warn!(kind, namespace, %name, %error,
                "This object can't be read; everything that depends on it is refused");
        }
    }
}

fn id(identity: &Identity) -> Id {
    (identity.namespace.clone(), identity.name.clone())
}

impl Collector for Quarantine {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut family = encoder.encode_descriptor(
            "apikey_unreadable_objects",
            "Watched objects that this process can't read and therefore refuses",
            None,
            MetricType::Gauge,
        )?;
        for (kind, objects) in &*self.0.lock() {
            let labels = [("kind", kind.as_str())];
            let count = i64::try_from(objects.len()).unwrap_or(i64::MAX);
            ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apikey_client::object::Stored;

    fn stored(name: &str, json: &str) -> Stored<apikey_api::ApiKey> {
        let json = format!(
            r#"{{"metadata": {{"name": "{name}", "uid": "u", "resourceVersion": "1"}}, {json}}}"#
        );
        Stored::read(&json).unwrap()
    }

    #[test]
    fn an_object_counts_until_it_can_be_read_or_is_gone_or_a_list_lacks_it() {
        let counts = Quarantine::default();
        let mut watch = counts.watch("ApiKey");
        let count = || counts.0.lock()["ApiKey"].len();
        let bad = |name| stored(name, r#""spec": {"org": 7}"#);
        watch.note(&Event::<apikey_api::ApiKey>::Init);
        watch.note(&Event::InitApply(bad("a")));
        watch.note(&Event::InitApply(bad("b")));
        watch.note(&Event::InitApply(bad("c")));
        watch.note(&Event::<apikey_api::ApiKey>::InitDone);
        watch.note(&Event::Apply(bad("a")));
        let mut other = counts.watch("ApiKey");
        other.note(&Event::Apply(bad("a")));
        assert_eq!(count(), 3);
        other.note(&Event::<apikey_api::ApiKey>::Delete(bad("a").identity));
        watch.note(&Event::Apply(stored(
            "a",
            r#""spec": {"org": "acme", "roles": []}"#,
        )));
        assert_eq!(count(), 2);
        watch.note(&Event::<apikey_api::ApiKey>::Delete(bad("b").identity));
        assert_eq!(count(), 1);
        watch.note(&Event::<apikey_api::ApiKey>::Init);
        watch.note(&Event::<apikey_api::ApiKey>::InitDone);
        assert_eq!(count(), 0);
    }
}
