//! Condition types, reasons, and the one function that sets a condition.
//!
//! Polarity: `Ready` and `Delivered` are positive and always present; the others say that something
//! is unusual and are present only while they are `True` (kstatus, Flux).
//!
//! Sources: Kubernetes API conventions ("Typical status properties"); kstatus.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::documented::documented;

documented! {
    /// The condition types, each with its documentation.
    pub const ALL;

    /// The declared state is reached: the key can be used, or is suspended as declared.
    pub const READY: &str = "Ready";
    /// The operator is still working towards the declared state.
    pub const RECONCILING: &str = "Reconciling";
    /// The operator can't go on before somebody changes something.
    pub const STALLED: &str = "Stalled";
    /// The expiry has passed.
    pub const EXPIRED: &str = "Expired";
    /// The expiry is less than a week away.
    pub const EXPIRING_SOON: &str = "ExpiringSoon";
    /// `spec.suspended` is true.
    pub const SUSPENDED: &str = "Suspended";
    /// The secret reached those who use it: it is in the delivered Secret, or was claimed from there.
    pub const DELIVERED: &str = "Delivered";
}

/// Reasons: one fixed CamelCase word each, for programs, metrics and Events.
pub mod reason {
    use super::documented;

    documented! {
        /// The reasons, each with its documentation.
        pub const ALL;

        /// The secret is minted and delivered.
        pub const ISSUED: &str = "Issued";
        /// A new secret replaced a delivered Secret that was removed or no longer matched.
        pub const REPLACED: &str = "Replaced";
        /// A new secret took the place of the delivered one, by schedule or on request.
        pub const ROTATED: &str = "Rotated";
        /// A replaced secret is no longer accepted.
        pub const PREVIOUS_RETIRED: &str = "PreviousRetired";
        /// A secret that is shown once waits to be claimed.
        pub const AWAITING_CLAIM: &str = "AwaitingClaim";
        /// A secret that is shown once was claimed.
        pub const REVEALED: &str = "Revealed";
        /// Nobody claimed a secret that is shown once in time.
        pub const CLAIM_EXPIRED: &str = "ClaimExpired";
        /// The Secret with a secret that is shown once was removed before it was claimed.
        pub const SECRET_REMOVED: &str = "SecretRemoved";
        /// Something that may change was changed.
        pub const UPDATED: &str = "Updated";
        /// The operator is at work.
        pub const PROGRESSING: &str = "Progressing";
        /// A request failed; the operator tries again.
        pub const PROGRESSING_WITH_RETRY: &str = "ProgressingWithRetry";
        /// What refused the key is over: it is usable again.
        pub const RECOVERED: &str = "Recovered";
        /// The expiry has passed.
        pub const EXPIRED: &str = "Expired";
        /// The expiry is near.
        pub const EXPIRING_SOON: &str = "ExpiringSoon";
        /// Suspended by the spec.
        pub const SUSPENDED: &str = "Suspended";
        /// No longer suspended.
        pub const RESUMED: &str = "Resumed";
        /// The key was deleted.
        pub const REVOKED: &str = "Revoked";
        /// A Secret of that name exists and belongs to somebody else.
        pub const SECRET_CONFLICT: &str = "SecretConflict";
        /// A Secret of that name is about to be garbage-collected.
        pub const PREVIOUS_SECRET_TERMINATING: &str = "PreviousSecretTerminating";
        /// The Secret has not been delivered yet.
        pub const NOT_DELIVERED: &str = "NotDelivered";
        /// The delivered secret was to be refused on request, and the new one can't be delivered.
        pub const DELIVERY_HELD_UP: &str = "DeliveryHeldUp";
        /// Keys are being restored from a backup, and something of this one is not there.
        pub const RESTORE_INCOMPLETE: &str = "RestoreIncomplete";
        /// The key was taken over from a backup.
        pub const RESTORED: &str = "Restored";
        /// The Secret was removed, or its value changed, too often in a short time.
        pub const SECRET_REMOVED_REPEATEDLY: &str = "SecretRemovedRepeatedly";
        /// The verifier is of a version that this program does not know, or damaged.
        pub const VERIFIER_UNREADABLE: &str = "VerifierUnreadable";
        /// `spec.org` names an Organization that does not exist (yet).
        pub const ORGANIZATION_NOT_FOUND: &str = "OrganizationNotFound";
        /// An Organization that decides about the key can't be read.
        pub const ORGANIZATION_UNREADABLE: &str = "OrganizationUnreadable";
        /// Namespaces are selected by label, and the labels of the key's own are not known.
        pub const NAMESPACE_UNREADABLE: &str = "NamespaceUnreadable";
        /// The object can't be read.
        pub const UNREADABLE: &str = "Unreadable";
        /// `spec.parent` names an Organization that does not exist (yet).
        pub const PARENT_NOT_FOUND: &str = "ParentNotFound";
        /// The parent is itself a sub-organization.
        pub const PARENT_NOT_ROOT: &str = "ParentNotRoot";
        /// Two Organizations have the same id.
        pub const ID_CONFLICT: &str = "IdConflict";
        /// The Organization does not allow keys from this namespace.
        pub const NAMESPACE_NOT_ALLOWED: &str = "NamespaceNotAllowed";
        /// None of the roles is in the catalogue.
        pub const UNKNOWN_ROLE: &str = "UnknownRole";
        /// None of the audiences is one of the organization's.
        pub const AUDIENCE_NOT_ALLOWED: &str = "AudienceNotAllowed";
        /// The lifetime exceeds the limit.
        pub const LIFETIME_TOO_LONG: &str = "LifetimeTooLong";
        /// The organization has as many keys as it may.
        pub const QUOTA_EXCEEDED: &str = "QuotaExceeded";
        /// A field has a value that can't be understood.
        pub const INVALID_SPEC: &str = "InvalidSpec";
        /// The organization's rules are in force.
        pub const ACCEPTED: &str = "Accepted";
    }
}

/// Longest message that is written (the API allows 32,768 characters).
const MAX_MESSAGE_CHARS: usize = 1024;

/// A condition without its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// One of the types above.
    pub type_: &'static str,
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
    /// One of [`reason`].
    pub reason: &'static str,
    /// What is the case and what to do about it.
    pub message: String,
}

/// The conditions that follow `old`: exactly those in `desired`, sorted by type.
/// `lastTransitionTime` moves only when `status` does.
#[must_use]
pub fn next(
    old: &[Condition],
    desired: Vec<Desired>,
    observed_generation: i64,
    now: Timestamp,
) -> Vec<Condition> {
    let mut conditions: Vec<Condition> = desired
        .into_iter()
        .map(|new| {
            let unchanged = old
                .iter()
                .find(|c| c.type_ == new.type_ && c.status == new.status);
            Condition {
                type_: new.type_.to_owned(),
                status: new.status.to_owned(),
                reason: new.reason.to_owned(),
                message: shorten(new.message),
                observed_generation: Some(observed_generation),
                last_transition_time: unchanged
                    .map_or_else(|| Time(now), |c| c.last_transition_time.clone()),
            }
        })
        .collect();
    conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
    conditions
}

/// The condition of this type, if it is there.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the condition of this type is there and `True`.
#[must_use]
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == "True")
}

fn shorten(message: String) -> String {
    if message.chars().count() <= MAX_MESSAGE_CHARS {
        return message;
    }
    let kept: String = message.chars().take(MAX_MESSAGE_CHARS - 1).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(status: &'static str, message: &str) -> Desired {
        Desired {
            type_: READY,
            status,
            reason: reason::ISSUED,
            message: message.to_owned(),
        }
    }

    #[test]
    fn transition_time_moves_only_when_the_status_flips() {
        let at = |s: i64| Timestamp::from_second(s).unwrap();
        let first = next(&[], vec![ready("True", "a")], 1, at(10));
        let same = next(&first, vec![ready("True", "b")], 2, at(20));
        assert_eq!(same[0].last_transition_time.0, at(10));
        assert_eq!(
            (same[0].message.as_str(), same[0].observed_generation),
            ("b", Some(2))
        );
        let flipped = next(&same, vec![ready("False", "b")], 2, at(30));
        assert_eq!(flipped[0].last_transition_time.0, at(30));
    }

    #[test]
    fn a_condition_that_no_longer_holds_is_dropped() {
        let at = Timestamp::from_second(1).unwrap();
        let stalled = Desired {
            type_: STALLED,
            ..ready("True", "")
        };
        let both = next(&[], vec![stalled, ready("False", "")], 1, at);
        assert_eq!(both.len(), 2);
        assert_eq!(next(&both, vec![ready("True", "")], 1, at).len(), 1);
    }

    #[test]
    fn a_long_message_is_shortened_on_a_character_boundary() {
        let at = Timestamp::from_second(1).unwrap();
        let message = next(&[], vec![ready("True", &"é".repeat(2000))], 1, at)[0]
            .message
            .clone();
        assert_eq!(message.chars().count(), MAX_MESSAGE_CHARS);
    }
}
