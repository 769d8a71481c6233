//! Condition types, reasons, and the function that computes the next conditions.
//!
//! `Ready` and `Delivered` have positive polarity and are always present. The other types report an unusual
//! state and are present only while they are `True`, as kstatus and Flux expect.
//!
//! Sources: Kubernetes API conventions ("Typical status properties"); kstatus.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::documented::documented;

documented! {
    /// The condition types with their documentation.
    pub const ALL;

    /// The key is in the declared state: it can be used, or it is suspended as declared.
    pub const READY: &str = "Ready";
    /// The operator is still working towards the declared state.
    pub const RECONCILING: &str = "Reconciling";
    /// The operator can't continue until somebody changes something.
    pub const STALLED: &str = "Stalled";
    /// The expiry has passed.
    pub const EXPIRED: &str = "Expired";
    /// The expiry is less than a week away.
    pub const EXPIRING_SOON: &str = "ExpiringSoon";
    /// The key is suspended because `spec.suspended` is true.
    pub const SUSPENDED: &str = "Suspended";
    /// The secret was delivered: it is in the Secret, or it was claimed from there.
    pub const DELIVERED: &str = "Delivered";
}

/// Reasons for conditions, metrics and Events: CamelCase words that never change.
pub mod reason {
    use super::documented;

    documented! {
        /// The reasons with their documentation.
        pub const ALL;

        /// The secret is minted and delivered.
        pub const ISSUED: &str = "Issued";
        /// A new secret replaced a delivered Secret that was removed or no longer matched.
        pub const REPLACED: &str = "Replaced";
        /// A new secret replaced the delivered one, on schedule or on request.
        pub const ROTATED: &str = "Rotated";
        /// A replaced secret is no longer accepted.
        pub const PREVIOUS_RETIRED: &str = "PreviousRetired";
        /// The secret of a key with `delivery: RevealOnce` has not been claimed yet.
        pub const AWAITING_CLAIM: &str = "AwaitingClaim";
        /// The secret of a key with `delivery: RevealOnce` was claimed.
        pub const REVEALED: &str = "Revealed";
        /// Nobody claimed the secret of a key with `delivery: RevealOnce` in time.
        pub const CLAIM_EXPIRED: &str = "ClaimExpired";
        /// The Secret of a key with `delivery: RevealOnce` was removed before anybody claimed the secret.
        pub const SECRET_REMOVED: &str = "SecretRemoved";
        /// A mutable field was changed.
        pub const UPDATED: &str = "Updated";
        /// The operator is working towards the declared state.
        pub const PROGRESSING: &str = "Progressing";
        /// A request failed, and the operator retries it.
        pub const PROGRESSING_WITH_RETRY: &str = "ProgressingWithRetry";
        /// The reason for which the key was refused no longer applies, so the key can be used again.
        pub const RECOVERED: &str = "Recovered";
        /// The expiry has passed.
        pub const EXPIRED: &str = "Expired";
        /// The expiry is less than a week away.
        pub const EXPIRING_SOON: &str = "ExpiringSoon";
        /// The key is suspended because `spec.suspended` is true.
        pub const SUSPENDED: &str = "Suspended";
        /// The key is no longer suspended.
        pub const RESUMED: &str = "Resumed";
        /// The key was deleted.
        pub const REVOKED: &str = "Revoked";
        /// A Secret with the name of the delivered Secret exists and has another owner.
        pub const SECRET_CONFLICT: &str = "SecretConflict";
        /// The Secret of a deleted ApiKey of the same name exists until it is garbage-collected.
        pub const PREVIOUS_SECRET_TERMINATING: &str = "PreviousSecretTerminating";
        /// The Secret does not hold the current secret yet.
        pub const NOT_DELIVERED: &str = "NotDelivered";
        /// The delivered secret is refused as requested, and the new one can't be delivered.
        pub const DELIVERY_HELD_UP: &str = "DeliveryHeldUp";
        /// Keys are being restored from a backup, and a part of this key is missing.
        pub const RESTORE_INCOMPLETE: &str = "RestoreIncomplete";
        /// The operator adopted the key from a backup.
        pub const RESTORED: &str = "Restored";
        /// The Secret was removed or its value was changed too often in a short time.
        pub const SECRET_REMOVED_REPEATEDLY: &str = "SecretRemovedRepeatedly";
        /// The credential record is damaged or has a version that the operator does not know.
        pub const VERIFIER_UNREADABLE: &str = "VerifierUnreadable";
        /// `spec.org` names an Organization that does not exist (yet).
        pub const ORGANIZATION_NOT_FOUND: &str = "OrganizationNotFound";
        /// An Organization that applies to the key can't be read.
        pub const ORGANIZATION_UNREADABLE: &str = "OrganizationUnreadable";
        /// The Organization selects namespaces by label, and the labels of the key's namespace are not known.
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
        /// None of the roles is in the organization's catalogue.
        pub const UNKNOWN_ROLE: &str = "UnknownRole";
        /// The organization allows none of the audiences.
        pub const AUDIENCE_NOT_ALLOWED: &str = "AudienceNotAllowed";
        /// The lifetime exceeds the organization's limit.
        pub const LIFETIME_TOO_LONG: &str = "LifetimeTooLong";
        /// The organization has the maximum number of keys.
        pub const QUOTA_EXCEEDED: &str = "QuotaExceeded";
        /// A field has an invalid value.
        pub const INVALID_SPEC: &str = "InvalidSpec";
        /// The rules of the organization are in effect.
        pub const ACCEPTED: &str = "Accepted";
    }
}

/// Maximum length of a message that the operator writes, in characters. The API allows 32,768.
const MAX_MESSAGE_CHARS: usize = 1024;

/// A condition without its timestamps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// One of the condition types of this module.
    pub type_: &'static str,
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
    /// One of [`reason`].
    pub reason: &'static str,
    /// The current state, and what to do about it.
    pub message: String,
}

/// Returns the conditions that replace `old`: exactly those in `desired`, sorted by type.
/// `lastTransitionTime` changes only when `status` changes.
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

/// Returns the condition of this type, if it is present.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the condition of this type is present and `True`.
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
