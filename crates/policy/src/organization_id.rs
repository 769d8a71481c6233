//! GUIDs of organizations.

use apikey_api::Organization;
use uuid::Uuid;

/// GUID of an organization that does not set one: the UUID version 5 of its name, in a namespace that is
/// derived from the API group. It is the same in every cluster.
#[must_use]
pub fn default_organization_id(name: &str) -> Uuid {
    let group = Uuid::new_v5(&Uuid::NAMESPACE_DNS, apikey_api::names::GROUP.as_bytes());
    Uuid::new_v5(&group, name.as_bytes())
}

/// GUID of a declared organization.
#[must_use]
pub fn organization_id(organization: &Organization) -> Uuid {
    let name = organization.metadata.name.as_deref().unwrap_or_default();
    let declared = organization
        .spec
        .id
        .as_deref()
        .and_then(|id| Uuid::try_parse(id).ok());
    declared.unwrap_or_else(|| default_organization_id(name))
}
