//! Relations between organizations: parents, and shared ids. Pure data, updated by the watch.
//!
//! The status of an organization depends on its parent and on the oldest organization with its id.
//! A change affects those for which one of the two changed. Besides updating them, each change
//! costs O(log n).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use uuid::Uuid;

use apikey_api::Organization;

/// What is known of an organization.
#[derive(Clone, Copy, Debug)]
pub enum Declared<'a> {
    /// It exists and can be read.
    Readable(&'a Organization),
    /// It exists and can't be read.
    Unreadable,
    /// It does not exist.
    Missing,
}

/// All organizations by id and by parent.
#[derive(Debug, Default)]
pub struct Relations {
    organizations: BTreeMap<Arc<str>, Properties>,
    by_id: BTreeMap<Uuid, BTreeSet<Age>>,
    by_parent: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
}

/// The properties that other organizations depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Properties {
    Readable {
        id: Uuid,
        parent: Option<Arc<str>>,
        age: Age,
    },
    Unreadable,
}

/// The parent as its sub-organizations see it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parent {
    Missing,
    Unreadable,
    Root,
    SubOrganization,
}

/// Order by age: creation time, then uid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Age {
    created: Option<Timestamp>,
    uid: Option<Arc<str>>,
    name: Arc<str>,
}

impl Age {
    fn of(organization: &Organization) -> Self {
        let meta = &organization.metadata;
        Self {
            created: meta.creation_timestamp.as_ref().map(|time| time.0),
            uid: meta.uid.as_deref().map(Arc::from),
            name: organization.name_any().into(),
        }
    }
}

impl Properties {
    fn of(declared: Declared<'_>) -> Option<Self> {
        match declared {
            Declared::Readable(organization) => Some(Self::Readable {
                id: apikey_policy::organization_id(organization),
                parent: organization.spec.parent.as_deref().map(Arc::from),
                age: Age::of(organization),
            }),
            Declared::Unreadable => Some(Self::Unreadable),
            Declared::Missing => None,
        }
    }

    const fn id(&self) -> Option<Uuid> {
        match self {
            Self::Readable { id, .. } => Some(*id),
            Self::Unreadable => None,
        }
    }

    fn as_parent(properties: Option<&Self>) -> Parent {
        match properties {
            None => Parent::Missing,
            Some(Self::Unreadable) => Parent::Unreadable,
            Some(Self::Readable { parent: None, .. }) => Parent::Root,
            Some(Self::Readable { .. }) => Parent::SubOrganization,
        }
    }
}

impl Relations {
    /// Updates an organization. Returns the names of the others that must be reconciled.
    pub fn declare(&mut self, name: &str, declared: Declared<'_>) -> BTreeSet<Arc<str>> {
        let name: Arc<str> = name.into();
        let (new, old) = (Properties::of(declared), self.organizations.remove(&name));
        let mut concerned = BTreeSet::new();
        if Properties::as_parent(old.as_ref()) != Properties::as_parent(new.as_ref()) {
            concerned.extend(self.by_parent.get(&name).into_iter().flatten().cloned());
        }
        if old != new {
            let ids: BTreeSet<_> = [&old, &new]
                .into_iter()
                .flatten()
                .filter_map(Properties::id)
                .collect();
            let before: Vec<_> = ids.iter().map(|id| self.oldest(*id).cloned()).collect();
            if let Some(old) = &old {
                self.take_out(&name, old);
            }
            if let Some(new) = &new {
                self.put_in(&name, new);
            }
            for (id, before) in ids.iter().zip(before) {
                if self.oldest(*id) != before.as_ref() {
                    let all = self.by_id.get(id).into_iter().flatten();
                    concerned.extend(all.map(|age| Arc::clone(&age.name)));
                }
            }
        }
        if let Some(new) = new {
            self.organizations.insert(Arc::clone(&name), new);
        }
        concerned.remove(&name);
        concerned
    }

    /// Name of the oldest other organization with the same id, if it is older than this one.
    #[must_use]
    pub fn elder(&self, organization: &Organization) -> Option<Arc<str>> {
        let oldest = self.oldest(apikey_policy::organization_id(organization))?;
        (*oldest < Age::of(organization)).then(|| Arc::clone(&oldest.name))
    }

    fn oldest(&self, id: Uuid) -> Option<&Age> {
        self.by_id.get(&id)?.first()
    }

    fn put_in(&mut self, name: &Arc<str>, properties: &Properties) {
        let Properties::Readable { id, parent, age } = properties else {
            return;
        };
        self.by_id.entry(*id).or_default().insert(age.clone());
        if let Some(parent) = parent {
            let subs = self.by_parent.entry(Arc::clone(parent)).or_default();
            subs.insert(Arc::clone(name));
        }
    }

    fn take_out(&mut self, name: &Arc<str>, properties: &Properties) {
        let Properties::Readable { id, parent, age } = properties else {
            return;
        };
        take_from(&mut self.by_id, id, age);
        if let Some(parent) = parent {
            take_from(&mut self.by_parent, parent, name);
        }
    }
}

/// Removes a value, and its set if that becomes empty.
fn take_from<K: Ord, V: Ord>(sets: &mut BTreeMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(set) = sets.get_mut(key) {
        set.remove(value);
        if set.is_empty() {
            sets.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
