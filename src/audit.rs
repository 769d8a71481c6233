//! The audit log: one JSON line on standard output per change in the life of a key.
//!
//! Logs are written to standard error, so that the two can be separated. While standard output is
//! read, a line is written before the status that shows the change. If the operator crashes in
//! between, the line is written again, so that each change is recorded at least once. What counts
//! as a change does not depend on the stored status, which others may write: see
//! [`crate::controller::apikey::reported`]. No line contains a secret or a hash.

pub mod log;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Action {
    /// The first secret was minted.
    Create,
    /// The key was adopted from a backup, under a new uid.
    Restore,
    /// The spec changed in a way that does not affect the secret.
    Update,
    /// A new secret replaced a delivered Secret that was removed or no longer matched.
    Replace,
    /// A new secret replaced the delivered one, by schedule or on request.
    Rotate,
    /// A replaced secret was discarded before the end of its overlap.
    Discard,
    /// A secret that is shown once was claimed.
    Reveal,
    /// A secret that is shown once was removed, because nobody claimed it in time.
    Withdraw,
    /// The key was suspended.
    Suspend,
    /// The key was resumed.
    Resume,
    /// The key expired.
    Expire,
    /// The key was deleted.
    Revoke,
}

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// When the change was seen.
    pub time: Time,
    /// What happened.
    pub action: Action,
    /// E-mail address of the key; empty if it is unknown.
    pub actor: String,
    /// Public id of the key; empty if the credential record has not been readable while this
    /// process leads.
    pub key_id: String,
    /// Namespace of the `ApiKey`.
    pub namespace: String,
    /// Name of the `ApiKey`.
    pub name: String,
    /// Organization of the key.
    pub org: String,
    /// Effective roles of the key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// The previous effective roles, if they changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_roles: Option<Vec<String>>,
    /// Number of the secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// When the key expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// The component that saw the change.
    pub source: &'static str,
}

impl Record {
    /// Creates a record with the common fields.
    #[must_use]
    pub fn new(time: Timestamp, action: Action, key: KeyIdentity) -> Self {
        Self {
            time: Time(time),
            action,
            actor: key.email,
            key_id: key.key_id,
            namespace: key.namespace,
            name: key.name,
            org: key.org,
            roles: Vec::new(),
            previous_roles: None,
            revision: None,
            expires_at: None,
            source: "controller",
        }
    }
}

/// The key that a record is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyIdentity {
    /// E-mail address of the key.
    pub email: String,
    /// Public id of the key.
    pub key_id: String,
    /// Namespace of the `ApiKey`.
    pub namespace: String,
    /// Name of the `ApiKey`.
    pub name: String,
    /// Organization of the key.
    pub org: String,
}

impl log::Entry for Record {
    fn at(&self) -> Timestamp {
        self.time.0
    }

    fn source(&self) -> &'static str {
        self.source
    }

    fn flood(&self) -> Option<(&'static str, &'static str)> {
        None
    }

    fn append_to(&self, line: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        serde_json::to_writer(line, self)
    }
}
