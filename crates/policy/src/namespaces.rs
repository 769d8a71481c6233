//! Decides which namespaces may create keys for an organization.

use std::collections::BTreeMap;

use kube::core::{Expression, Selector, SelectorExt as _};

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
    let equal = |(key, value): (&String, &String)| Expression::Equal(key.clone(), value.clone());
    let equal = selector.match_labels.iter().map(equal);
    let stated = selector.match_expressions.iter().map(expression);
    equal.chain(stated).collect::<Selector>().matches(labels)
}

fn expression(requirement: &Requirement) -> Expression {
    let key = requirement.key.clone();
    let values = || requirement.values.iter().cloned().collect();
    match requirement.operator {
        SelectorOperator::In => Expression::In(key, values()),
        SelectorOperator::NotIn => Expression::NotIn(key, values()),
        SelectorOperator::Exists => Expression::Exists(key),
        SelectorOperator::DoesNotExist => Expression::DoesNotExist(key),
    }
}
