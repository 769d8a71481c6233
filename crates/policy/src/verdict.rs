//! The decision about one key, with what is known of it in any case.

use k8s_openapi::jiff::Timestamp;
use uuid::Uuid;

use crate::grants::Grant;

/// The decision about a key, and what is known about the key in any case.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// GUID of the organization.
    pub organization_id: Uuid,
    /// Time from which the key is refused. `None` if it is not known yet.
    pub expires_at: Option<Timestamp>,
    /// The roles of the key that are in the catalogue, in the order of the spec.
    pub roles: Vec<String>,
    /// The other roles of the key.
    pub unknown_roles: Vec<String>,
    /// Where the key may act: its own organization first, then the listed sub-organizations that it covers.
    /// Each grant has at least one role. Empty unless the verdict is [`Verdict::Allowed`].
    pub grants: Vec<Grant>,
    /// The listed sub-organizations that the key does not cover or has no role in.
    pub uncovered: Vec<String>,
    /// Audiences of the key's tokens. If empty, the default of the token server.
    pub audiences: Vec<String>,
    /// The audiences that the key requests but may not have.
    pub unknown_audiences: Vec<String>,
    /// Whether the Organization is declared.
    pub declared: bool,
    /// Whether the key may be minted and used.
    pub verdict: Verdict,
}

/// Whether a key may be minted and used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The key may be minted and used.
    Allowed,
    /// The key is waiting for an object that does not exist yet or can't be read.
    Waiting(Denial),
    /// The key is refused until somebody changes the key or the rules.
    Refused(Denial),
}

/// Why a key is not allowed: a reason for programs and a message for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// One of [`apikey_api::conditions::reason`].
    pub reason: &'static str,
    /// The field, its value and the fix.
    pub message: String,
}
