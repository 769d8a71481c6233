//! Which namespaces may make keys for an organization.

use std::collections::BTreeMap;

use crate::api::{
    AllowedNamespaces, FromNamespaces, NamespaceSelector, Requirement, SelectorOperator,
};

/// Whether keys may come from this namespace.
#[must_use]
pub fn namespace_allowed(
    allowed: &AllowedNamespaces,
    namespace: &str,
    labels: &BTreeMap<String, String>,
) -> bool {
    match allowed.from {
        FromNamespaces::All => true,
        FromNamespaces::Names => allowed.names.iter().any(|name| name == namespace),
        FromNamespaces::Selector => allowed
            .selector
            .as_ref()
            .is_some_and(|selector| selects(selector, labels)),
    }
}

pub(super) fn selects(selector: &NamespaceSelector, labels: &BTreeMap<String, String>) -> bool {
    let meets = |requirement: &Requirement| {
        let value = labels.get(&requirement.key);
        let listed = value.is_some_and(|value| requirement.values.contains(value));
        match requirement.operator {
            SelectorOperator::In => listed,
            SelectorOperator::NotIn => !listed,
            SelectorOperator::Exists => value.is_some(),
            SelectorOperator::DoesNotExist => value.is_none(),
        }
    };
    selector
        .match_labels
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
        && selector.match_expressions.iter().all(meets)
}
