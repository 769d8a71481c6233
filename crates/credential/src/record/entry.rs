//! One secret in a credential record: how to verify it, why it was minted, and whether it was claimed.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::fingerprint::Fingerprint;
use crate::hex;

/// What verifies one secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Number of the secret, starting at 1. Two secrets that may have been delivered never have the same
    /// number.
    pub revision: i64,
    /// Argon2id hash as a PHC string.
    pub hash: String,
    /// Keyed fingerprint.
    pub fingerprint: Fingerprint,
    /// Time at which the secret was minted.
    pub created_at: Time,
    /// Why the secret was minted.
    pub cause: Cause,
    /// Time from which the secret is refused. Set on `previous`, and on `current` and the pending entries of
    /// that time after a new secret without an overlap was requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Time>,
}

impl Entry {
    /// Returns 16 hexadecimal digits that identify this entry in the annotation of the delivered Secret: the
    /// start of the SHA-256 of the hash. They reveal nothing about the secret.
    #[must_use]
    pub fn digest(&self) -> String {
        hex::encode(&Sha256::digest(self.hash.as_bytes())[..8])
    }
}

/// A secret whose delivery has begun, and what its promotion needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// What verifies the secret.
    #[serde(flatten)]
    pub entry: Entry,
    /// How long the replaced secret stays accepted, in seconds.
    pub overlap_seconds: u32,
    /// The request that this secret answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

/// Why a secret was minted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// It is the first secret of the key.
    First,
    /// The delivered Secret was removed or did not contain the current secret.
    Replacement,
    /// The schedule in `spec.rotation.everyDays`.
    Schedule,
    /// The annotation that requests a rotation.
    Request,
}

/// State of the claim, if the current secret is revealed once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum Claim {
    /// The secret is not known to be delivered, or it is not revealed once.
    #[default]
    Unrecorded,
    /// The secret was delivered. If the Secret is missing from now on, the secret counts as taken.
    Delivered,
    /// The secret was claimed.
    Revealed {
        /// Time of the claim.
        at: MicroTime,
    },
    /// Nobody claimed the secret in time, so the Secret was removed.
    Unclaimed,
    /// Somebody removed the Secret before the secret was claimed.
    Removed,
}

impl Claim {
    /// Whether the state is the default, which is not stored.
    pub(super) fn is_unrecorded(&self) -> bool {
        *self == Self::Unrecorded
    }

    /// Whether the delivered Secret is no longer needed.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        match self {
            Self::Unrecorded | Self::Delivered => false,
            Self::Revealed { .. } | Self::Unclaimed | Self::Removed => true,
        }
    }
}
