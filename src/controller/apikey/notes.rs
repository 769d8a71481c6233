//! What a change of status means to people: Events and audit lines. Pure.

use crate::api::conditions::{self, DELIVERED, EXPIRING_SOON, READY, SUSPENDED, reason};
use crate::api::{ApiKey, ApiKeyStatus, Phase, PreviousSecret};
use crate::audit::{Action, KeyIdentity, Record};
use crate::controller::events::{Note, Severity};
use crate::credential::verifier::{Cause, Document};
use k8s_openapi::jiff::Timestamp;

/// One change: an Event, and an audit line if it belongs to the life of a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// For the Event.
    pub note: Note,
    /// For the audit trail.
    pub audit: Option<Record>,
}

/// What becomes of a secret that is not just delivered, as reasons of condition `Delivered`.
const HANDED: [(&str, Severity, Option<Action>); 4] = [
    (reason::DELIVERY_HELD_UP, Severity::Warning, None),
    (reason::REVEALED, Severity::Normal, Some(Action::Reveal)),
    (
        reason::CLAIM_EXPIRED,
        Severity::Warning,
        Some(Action::Withdraw),
    ),
    (reason::SECRET_REMOVED, Severity::Warning, None),
];

/// Whom audit records about this key name; `None` before it has an identity.
fn identity(apikey: &ApiKey, status: &ApiKeyStatus) -> Option<KeyIdentity> {
    Some(KeyIdentity {
        email: status.email.clone()?,
        key_id: status.key_id.clone()?,
        namespace: apikey.metadata.namespace.clone()?,
        name: apikey.metadata.name.clone()?,
        org: apikey.spec.org.clone(),
    })
}

/// The changes between the status as it was and as it will be.
#[must_use]
pub fn changes(
    apikey: &ApiKey,
    new: &ApiKeyStatus,
    document: Option<&Document>,
    now: Timestamp,
) -> Vec<Change> {
    let none = ApiKeyStatus::default();
    let old = apikey.status.as_ref().unwrap_or(&none);
    let record = |action| {
        let record = Record::new(now, action, identity(apikey, new)?);
        Some(Record {
            roles: new.roles.clone(),
            revision: new.revision,
            expires_at: new.expires_at.clone(),
            ..record
        })
    };
    let change = |severity, reason, message: String, action: Option<Action>| Change {
        note: Note {
            severity,
            reason,
            message,
        },
        audit: action.and_then(record),
    };
    let message_of = |status: &ApiKeyStatus, type_| {
        conditions::find(&status.conditions, type_)
            .map(|c| c.message.clone())
            .unwrap_or_default()
    };
    let mut changes = Vec::new();

    let secret = new.secret_name.as_deref().unwrap_or_default();
    let revision = new.revision.unwrap_or_default();
    let issued = old.key_id.is_none() && new.key_id.is_some();
    let restored = issued && document.is_some_and(|document| document.restored_from.is_some());
    if restored {
        let message = format!("Took over revision {revision} of the secret from a backup");
        let action = Some(Action::Restore);
        changes.push(change(Severity::Normal, reason::RESTORED, message, action));
    } else if issued {
        let message = format!("Delivered revision {revision} of the secret to Secret '{secret}'");
        changes.push(change(
            Severity::Normal,
            reason::ISSUED,
            message,
            Some(Action::Create),
        ));
    } else if old.revision.is_some_and(|old| old < revision) {
        let rotated = document.and_then(|document| match document.current.cause {
            Cause::Schedule => Some("by schedule"),
            Cause::Request => Some("on request"),
            Cause::First | Cause::Replacement => None,
        });
        let (severity, reason, action, because) = match rotated {
            Some(why) => {
                let message = format!("Rotated {why}");
                (Severity::Normal, reason::ROTATED, Action::Rotate, message)
            }
            None => (
                Severity::Warning,
                reason::REPLACED,
                Action::Replace,
                format!("Secret '{secret}' was removed or did not hold the current secret"),
            ),
        };
        let overlap = match &new.previous_secret {
            Some(PreviousSecret {
                revision,
                valid_until,
            }) => format!("revision {revision} is accepted until {}", valid_until.0),
            None => "earlier ones are refused".to_owned(),
        };
        let message = format!("{because}: Secret '{secret}' holds revision {revision}; {overlap}");
        changes.push(change(severity, reason, message, Some(action)));
    } else if let Some(retired) = &old.previous_secret
        && new.previous_secret.is_none()
    {
        let early = now < retired.valid_until.0;
        let message = format!(
            "Revision {} of the secret is refused from now on{}",
            retired.revision,
            if early { ", before its time" } else { "" }
        );
        let action = early.then_some(Action::Discard);
        changes.push(change(
            Severity::Normal,
            reason::PREVIOUS_RETIRED,
            message,
            action,
        ));
    }

    let handed = |status: &ApiKeyStatus| {
        let delivered = conditions::find(&status.conditions, DELIVERED)?;
        HANDED
            .into_iter()
            .find(|(reason, ..)| *reason == delivered.reason)
    };
    if let Some((reason, severity, action)) = handed(new)
        && !restored
        && handed(old).is_none_or(|(before, ..)| before != reason || old.revision != new.revision)
    {
        changes.push(change(severity, reason, message_of(new, DELIVERED), action));
    }

    let (was, is) = (
        conditions::is_true(&old.conditions, SUSPENDED),
        conditions::is_true(&new.conditions, SUSPENDED),
    );
    if is && !was {
        let message = message_of(new, SUSPENDED);
        changes.push(change(
            Severity::Normal,
            reason::SUSPENDED,
            message,
            Some(Action::Suspend),
        ));
    }
    if was && !is {
        let message = "`suspended` is false again: tokens are issued".to_owned();
        changes.push(change(
            Severity::Normal,
            reason::RESUMED,
            message,
            Some(Action::Resume),
        ));
    }

    let known = old.observed_generation >= 1 && !issued;
    if known && old.roles != new.roles {
        let message = format!(
            "Roles are now [{}], they were [{}]; the secret stays",
            new.roles.join(", "),
            old.roles.join(", ")
        );
        let mut change = change(
            Severity::Normal,
            reason::UPDATED,
            message,
            Some(Action::Update),
        );
        if let Some(record) = &mut change.audit {
            record.previous_roles = Some(old.roles.clone());
        }
        changes.push(change);
    } else if known && old.observed_generation < new.observed_generation && was == is {
        let message = "Accepted the change of the spec; the secret stays".to_owned();
        changes.push(change(
            Severity::Normal,
            reason::UPDATED,
            message,
            Some(Action::Update),
        ));
    }

    let soon = |status: &ApiKeyStatus| conditions::is_true(&status.conditions, EXPIRING_SOON);
    if soon(new) && !soon(old) {
        let message = message_of(new, EXPIRING_SOON);
        changes.push(change(
            Severity::Warning,
            reason::EXPIRING_SOON,
            message,
            None,
        ));
    }
    if new.phase == Some(Phase::Expired) {
        if old.phase != Some(Phase::Expired) {
            let message = message_of(new, READY);
            changes.push(change(
                Severity::Warning,
                reason::EXPIRED,
                message,
                Some(Action::Expire),
            ));
        }
        return changes;
    }

    if let Some(refusal) = refusal(new)
        && Some(refusal) != self::refusal(old)
    {
        changes.push(change(
            Severity::Warning,
            refusal,
            message_of(new, READY),
            None,
        ));
    }
    changes
}

/// The reason why the key is not ready, if it is one to tell people of.
fn refusal(status: &ApiKeyStatus) -> Option<&'static str> {
    const TOLD: [&str; 13] = [
        reason::SECRET_CONFLICT,
        reason::SECRET_REMOVED_REPEATEDLY,
        reason::VERIFIER_UNREADABLE,
        reason::ORGANIZATION_NOT_FOUND,
        reason::PARENT_NOT_FOUND,
        reason::PARENT_NOT_ROOT,
        reason::NAMESPACE_NOT_ALLOWED,
        reason::UNKNOWN_ROLE,
        reason::AUDIENCE_NOT_ALLOWED,
        reason::LIFETIME_TOO_LONG,
        reason::QUOTA_EXCEEDED,
        reason::INVALID_SPEC,
        reason::PROGRESSING_WITH_RETRY,
    ];
    let ready = conditions::find(&status.conditions, READY)?;
    (ready.status == "False")
        .then(|| TOLD.into_iter().find(|told| *told == ready.reason))
        .flatten()
}
