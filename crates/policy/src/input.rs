//! What a decision about one key depends on.

use std::collections::BTreeMap;
use std::sync::Arc;

use apikey_api::{ApiKey, Organization, SubOrganization, TokenSpec};
use k8s_openapi::jiff::Timestamp;

/// The parts of a key that a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Namespace of the key.
    pub namespace: &'a str,
    /// Time at which the key was created.
    pub created: Option<Timestamp>,
    /// `spec.org`.
    pub org: &'a str,
    /// `spec.roles`.
    pub roles: &'a [String],
    /// `spec.subOrgs`.
    pub sub_orgs: &'a [SubOrganization],
    /// `spec.expiry`.
    pub expiry: Option<&'a str>,
    /// `spec.token`.
    pub token: Option<&'a TokenSpec>,
}

impl<'a> From<&'a ApiKey> for Subject<'a> {
    fn from(apikey: &'a ApiKey) -> Self {
        let (meta, spec) = (&apikey.metadata, &apikey.spec);
        Self {
            namespace: meta.namespace.as_deref().unwrap_or_default(),
            created: meta.creation_timestamp.as_ref().map(|time| time.0),
            org: &spec.org,
            roles: &spec.roles,
            sub_orgs: &spec.sub_orgs,
            expiry: spec.expiry.as_deref(),
            token: spec.token.as_ref(),
        }
    }
}

impl Subject<'_> {
    /// `spec.token.audiences`.
    pub(crate) fn audiences(&self) -> &[String] {
        self.token
            .map(|token| token.audiences.as_slice())
            .unwrap_or_default()
    }
}

/// What the decision about a key depends on.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The key.
    pub subject: Subject<'a>,
    /// The Organization of `spec.org`, if it is declared.
    pub organization: Option<&'a Organization>,
    /// The parent of that Organization, if it has one that is declared.
    pub parent: Option<&'a Organization>,
    /// Name of the organization or parent that can't be read, if there is one. Its rules are unknown, so no
    /// decision is possible.
    pub unreadable: Option<&'a str>,
    /// Those organizations of `spec.subOrgs` that are declared.
    pub sub_organizations: &'a [Arc<Organization>],
    /// Labels of the key's namespace. `None` if they are unknown.
    pub namespace_labels: Option<&'a BTreeMap<String, String>>,
    /// The quota for which this key is queued, if there is one.
    pub over_quota: Option<&'a OverQuota>,
    /// The expiry that was fixed when the secret was minted, if it was.
    pub fixed_expiry: Option<Timestamp>,
    /// Whether keys of an undeclared Organization are not allowed.
    pub require_organizations: bool,
}

/// The organization whose `maxKeys` does not admit a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverQuota {
    /// Name of the organization.
    pub organization: String,
    /// Limit of the organization.
    pub max_keys: i64,
}
