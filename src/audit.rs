//! The audit trail: one JSON line on standard output per change of a key's life.
//!
//! Logs go to standard error, so that the two can be kept apart. While standard output is read, a line is
//! written before the status that shows the change: if the operator dies in between, the line is written
//! again, so that each change is told at least once. What a change is does not depend on the status that is stored, which others may write: see
//! [`crate::controller::apikey::reported`]. No line holds a secret or a hash.

pub mod log;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Action {
    /// Its first secret was minted.
    Create,
    /// It was taken over from a backup, under a new uid.
    Restore,
    /// Something of its spec that leaves the secret alone changed.
    Update,
    /// A new secret replaced a delivered Secret that was removed or no longer matched.
    Replace,
    /// A new secret took the place of the delivered one, by schedule or on request.
    Rotate,
    /// A replaced secret was refused before its time.
    Discard,
    /// A secret that is shown once was claimed.
    Reveal,
    /// A secret that is shown once was removed, because nobody claimed it in time.
    Withdraw,
    /// It was suspended.
    Suspend,
    /// It is no longer suspended.
    Resume,
    /// Its expiry passed.
    Expire,
    /// It was deleted.
    Revoke,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// When it was seen.
    pub time: Time,
    /// What happened.
    pub action: Action,
    /// E-mail address of the key; empty if that is not known.
    pub actor: String,
    /// Public id of the key; empty if what proves it has not been readable since this controller leads.
    pub key_id: String,
    /// Namespace of the `ApiKey`.
    pub namespace: String,
    /// Name of the `ApiKey`.
    pub name: String,
    /// Its organization.
    pub org: String,
    /// Its effective roles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Its effective roles before, if they changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_roles: Option<Vec<String>>,
    /// Number of its secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// When it expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// Which part of the operator saw it.
    pub source: &'static str,
}

impl Record {
    /// A record with what every one has.
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

/// Whom a record is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyIdentity {
    /// E-mail address of the key.
    pub email: String,
    /// Its public id.
    pub key_id: String,
    /// Namespace of the `ApiKey`.
    pub namespace: String,
    /// Name of the `ApiKey`.
    pub name: String,
    /// Its organization.
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
