//! The Kubernetes API: custom resources, conditions, names. Pure: no client, no clock.

mod apikey;
pub mod bounds;
pub mod conditions;
pub mod crds;
mod documented;
pub mod expiry;
pub mod names;
mod organization;
mod schema;

pub use apikey::{
    ApiKey, ApiKeySpec, ApiKeyStatus, BadRequest, DEFAULT_OVERLAP_SECONDS, DeliveredSecretSpec,
    Delivery, MAX_OVERLAP_SECONDS, Phase, PreviousSecret, ROTATION_WAITS, RotateRequest,
    RotationSpec, SecretDataKeys, SecretTemplate, SubOrganization, TokenSpec,
};
pub use organization::{
    AllowedNamespaces, FromNamespaces, NamespaceSelector, Organization, OrganizationLimits,
    OrganizationSpec, OrganizationStatus, Requirement, Role, SelectorOperator,
};
