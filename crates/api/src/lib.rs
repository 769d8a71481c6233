//! The API of apikey-operator: custom resources, conditions, names, and the paths of the token server.
//!
//! This crate has no Kubernetes client and reads no clock. A program that creates `ApiKey`s needs this crate
//! and a Kubernetes client.

mod apikey;
pub mod bounds;
pub mod conditions;
pub mod crds;
mod documented;
pub mod endpoints;
pub mod expiry;
mod key_ref;
pub mod names;
mod organization;
mod schema;
pub mod text;

pub use apikey::{
    ApiKey, ApiKeySpec, ApiKeyStatus, BadRequest, DEFAULT_OVERLAP_SECONDS, DeliveredSecretSpec,
    Delivery, MAX_OVERLAP_SECONDS, Phase, PreviousSecret, ROTATION_WAITS, RotateRequest,
    RotationSpec, SecretDataKeys, SecretTemplate, SubOrganization, TokenSpec,
};
pub use key_ref::KeyRef;
pub use organization::{
    AllowedNamespaces, FromNamespaces, NamespaceSelector, Organization, OrganizationLimits,
    OrganizationSpec, OrganizationStatus, Requirement, Role, SelectorOperator,
};
