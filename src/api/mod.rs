//! The Kubernetes API: custom resources, conditions, names. Pure: no client, no clock.

mod apikey;
pub mod conditions;
pub mod crds;
pub mod names;
mod organization;
mod schema;

pub use apikey::{
    ApiKey, ApiKeySpec, ApiKeyStatus, DeliveredSecretSpec, Phase, PreviousSecret, SecretDataKeys,
    SecretTemplate, SubOrganization, TokenSpec,
};
pub use organization::{
    AllowedNamespaces, FromNamespaces, NamespaceSelector, Organization, OrganizationLimits,
    OrganizationSpec, OrganizationStatus, Requirement, Role, SelectorOperator,
};
