//! Which namespaces are watched, and the parts in which objects of one kind come.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use kube::runtime::reflector::Lookup;
use kube::runtime::watcher;
use kube::{Api, Client, Resource};

/// The namespaces whose `ApiKeys` are looked after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched(BTreeSet<Arc<str>>);

impl Watched {
    /// These; none: all.
    #[must_use]
    pub fn new(namespaces: &[String]) -> Self {
        Self(namespaces.iter().map(|name| name.as_str().into()).collect())
    }

    /// Whether keys of this namespace are looked after.
    #[must_use]
    pub fn contains(&self, namespace: &str) -> bool {
        self.0.is_empty() || self.0.contains(namespace)
    }

    /// One part for each watch of a kind.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        if self.0.is_empty() {
            return vec![Part::Whole];
        }
        self.0.iter().cloned().map(Part::Namespace).collect()
    }
}

/// What one watch sees of a kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// All that is watched of it.
    Whole,
    /// What is in this namespace, or this namespace itself.
    Namespace(Arc<str>),
}

impl Part {
    /// Where objects of this part are.
    #[must_use]
    pub fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match self {
            Self::Whole => Api::all(client.clone()),
            Self::Namespace(name) => Api::namespaced(client.clone(), name),
        }
    }

    /// Leaves the namespace of this part of all namespaces. A right on this name is enough for it.
    #[must_use]
    pub fn only_itself(&self, config: watcher::Config) -> watcher::Config {
        match self {
            Self::Whole => config,
            Self::Namespace(name) => config.fields(&format!("metadata.name={name}")),
        }
    }

    /// Whether what is in this namespace belongs to it.
    #[must_use]
    pub fn has(&self, namespace: &str) -> bool {
        match self {
            Self::Whole => true,
            Self::Namespace(name) => **name == *namespace,
        }
    }

    /// Whether this object, or the namespace that it is, belongs to it.
    #[must_use]
    pub fn has_object(&self, object: &impl Lookup) -> bool {
        let place = object.namespace().or_else(|| object.name());
        self.has(&place.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_list_is_every_namespace_in_one_watch_and_a_list_has_one_for_each() {
        let all = Watched::default();
        assert!(all.contains("a"));
        assert_eq!(all.parts(), [Part::Whole]);
        let some = Watched::new(&["b".into(), "a".into(), "b".into()]);
        assert!(some.contains("a") && !some.contains("c"));
        let part = |name: &str| Part::Namespace(name.into());
        assert_eq!(some.parts(), [part("a"), part("b")]);
        assert!(part("a").has("a") && !part("a").has("b") && Part::Whole.has("b"));
    }
}
