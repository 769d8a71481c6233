//! What a change of status means to people: Events and audit lines. Pure.

use crate::api::conditions::{self, EXPIRING_SOON, READY, SUSPENDED, reason};
use crate::api::{ApiKey, ApiKeyStatus, Phase};
use crate::audit::{Action, KeyIdentity, Record};
use crate::controller::events::{Note, Severity};
use k8s_openapi::jiff::Timestamp;

/// One change: an Event, and an audit line if it belongs to the life of a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// For the Event.
    pub note: Note,
    /// For the audit trail.
    pub audit: Option<Record>,
}

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
pub fn changes(apikey: &ApiKey, new: &ApiKeyStatus, now: Timestamp) -> Vec<Change> {
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
    if issued {
        let message = format!("Delivered revision {revision} of the secret to Secret '{secret}'");
        changes.push(change(
            Severity::Normal,
            reason::ISSUED,
            message,
            Some(Action::Create),
        ));
    } else if old.revision.is_some_and(|old| old < revision) {
        let message = format!(
            "Secret '{secret}' was removed or did not hold the current secret: delivered revision \
             {revision}"
        );
        changes.push(change(
            Severity::Warning,
            reason::REPLACED,
            message,
            Some(Action::Replace),
        ));
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
