//! Decides which namespaces may create keys for an organization.

use std::collections::BTreeMap;

use apikey_api::{
    AllowedNamespaces, FromNamespaces, NamespaceSelector, Requirement, SelectorOperator,
};

/// Whether the organization allows keys from this namespace. `None` if this depends on labels that are
/// unknown. Unknown labels match no selector, not even `DoesNotExist`.
#[must_use]
pub fn namespace_allowed(
    allowed: &AllowedNamespaces,
    namespace: &str,
    labels: Option<&BTreeMap<String, String>>,
) -> Option<bool> {
    match allowed.from {
        FromNamespaces::All => Some(true),
        FromNamespaces::Names => Some(allowed.names.iter().any(|name| name == namespace)),
        FromNamespaces::Selector => labels.map(|labels| {
            let selector = allowed.selector.as_ref();
            selector.is_some_and(|selector| selects(selector, labels))
        }),
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
