//! Which namespaces are watched, and the watch scopes of a kind.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Namespace;
use kube::Resource;

use super::source::Source;
use apikey_client::object::Identity;

/// The namespaces whose `ApiKeys` the operator manages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchedNamespaces(BTreeSet<Arc<str>>);

impl WatchedNamespaces {
    /// Watches these namespaces; all if there are none.
    #[must_use]
    pub fn new(namespaces: &[String]) -> Self {
        Self(namespaces.iter().map(|name| name.as_str().into()).collect())
    }

    /// Whether the operator manages keys of this namespace.
    #[must_use]
    pub fn contains(&self, namespace: &str) -> bool {
        self.0.is_empty() || self.0.contains(namespace)
    }

    /// The watch scopes: one for each watch of a kind.
    #[must_use]
    pub fn scopes(&self) -> Vec<WatchScope> {
        if self.0.is_empty() {
            return vec![WatchScope::Everything];
        }
        self.0.iter().cloned().map(WatchScope::Namespace).collect()
    }
}

/// The objects that one watch of a kind covers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WatchScope {
    /// All objects of the kind.
    Everything,
    /// The objects in this namespace, or this namespace itself.
    Namespace(Arc<str>),
}

impl WatchScope {
    /// The objects of this scope.
    #[must_use]
    pub fn source<K>(&self) -> Source
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match self {
            Self::Everything => Source::of::<K>(None),
            Self::Namespace(name) => Source::of::<K>(Some(name)),
        }
    }

    /// The namespace of this scope, or all namespaces. A permission for its name is sufficient.
    #[must_use]
    pub fn namespaces(&self) -> Source {
        let all = Source::of::<Namespace>(None).metadata();
        match self {
            Self::Everything => all,
            Self::Namespace(name) => all.named(name),
        }
    }

    /// Whether this namespace belongs to the scope.
    #[must_use]
    pub fn has(&self, namespace: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Namespace(name) => **name == *namespace,
        }
    }

    /// Whether this object belongs to the scope; a namespace belongs to its own scope.
    #[must_use]
    pub fn has_object(&self, identity: &Identity) -> bool {
        self.has(identity.namespace.as_deref().unwrap_or(&identity.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_list_is_every_namespace_in_one_watch_and_a_list_has_one_for_each() {
        let all = WatchedNamespaces::default();
        assert!(all.contains("a"));
        assert_eq!(all.scopes(), [WatchScope::Everything]);
        let some = WatchedNamespaces::new(&["b".into(), "a".into(), "b".into()]);
        assert!(some.contains("a") && !some.contains("c"));
        let scope = |name: &str| WatchScope::Namespace(name.into());
        assert_eq!(some.scopes(), [scope("a"), scope("b")]);
        assert!(scope("a").has("a") && !scope("a").has("b") && WatchScope::Everything.has("b"));
    }
}
