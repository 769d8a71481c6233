//! What a verifier document has of one secret: its proof, why it was minted, where it is.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::fingerprint::Fingerprint;
use crate::hex;

/// What proves one secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Number of the secret, from 1. No two that may have been delivered have the same one.
    pub revision: i64,
    /// argon2id hash in PHC form.
    pub hash: String,
    /// Keyed fingerprint.
    pub fingerprint: Fingerprint,
    /// When it was minted.
    pub created_at: Time,
    /// Why it was minted.
    pub cause: Cause,
    /// Time from which it is refused: on `previous`, and on `current` and what was pending then, once a new
    /// secret was asked for without an overlap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Time>,
}

impl Entry {
    /// 16 hexadecimal digits that name this entry in the annotation of the delivered Secret: the
    /// start of the SHA-256 of the hash. It tells nothing about the secret.
    #[must_use]
    pub fn digest(&self) -> String {
        hex::encode(&Sha256::digest(self.hash.as_bytes())[..8])
    }
}

/// A secret whose delivery has begun, and what its promotion has to remember.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// What proves it.
    #[serde(flatten)]
    pub entry: Entry,
    /// How long the secret that it replaces stays accepted.
    pub overlap_seconds: u32,
    /// The request that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

/// Why a secret was minted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// It is the first.
    First,
    /// The delivered Secret was removed or did not hold the current secret.
    Replacement,
    /// `spec.rotation.everyDays`.
    Schedule,
    /// The annotation that asks for it.
    Request,
}

/// Where the current secret is, if it is shown once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum Claim {
    /// Not known to have been delivered, or not a secret that is shown once.
    #[default]
    Unrecorded,
    /// It was delivered. If the Secret is missing from now on, the secret counts as taken.
    Delivered,
    /// Somebody claimed it.
    Revealed {
        /// When.
        at: MicroTime,
    },
    /// Nobody claimed it in time, so the Secret was removed.
    Unclaimed,
    /// The Secret was removed by somebody else before it was claimed.
    Removed,
}

impl Claim {
    /// Whether nothing is to be stored of it.
    pub(super) fn is_unrecorded(&self) -> bool {
        *self == Self::Unrecorded
    }

    /// Whether the delivered Secret has no further use.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        match self {
            Self::Unrecorded | Self::Delivered => false,
            Self::Revealed { .. } | Self::Unclaimed | Self::Removed => true,
        }
    }
}
