//! The Events and audit lines about changes of a key. Pure.

use super::reported::{Expiry, Reported, Roles, delivery_outcome, refusal};
use crate::audit::{Action, KeyIdentity, Record};
use crate::controller::events::{Severity, Transition};
use apikey_api::conditions::{self, DELIVERED, EXPIRING_SOON, READY, SUSPENDED, reason};
use apikey_api::{ApiKey, ApiKeyStatus};
use apikey_credential::record::{Cause, CredentialRecord};
use k8s_openapi::jiff::Timestamp;

/// One change. It is an Event, and also an audit line if it belongs to the life cycle of a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The Event.
    pub transition: Transition,
    /// The audit line.
    pub audit: Option<Record>,
}

/// Compares what was last reported of a key with its new status.
struct Comparison<'a> {
    apikey: &'a ApiKey,
    reported: &'a Reported,
    new: &'a ApiKeyStatus,
    document: Option<&'a CredentialRecord>,
    now: Timestamp,
}

/// The changes between what was last reported of the key and its new status.
#[must_use]
pub fn changes(
    apikey: &ApiKey,
    reported: &Reported,
    new: &ApiKeyStatus,
    document: Option<&CredentialRecord>,
    now: Timestamp,
) -> Vec<Change> {
    let comparison = Comparison {
        apikey,
        reported,
        new,
        document,
        now,
    };
    let secret = comparison.secret();
    let is_new = secret.is_some();
    let [suspension, spec] = comparison.declared();
    let changes = [
        comparison.retired(),
        secret,
        comparison.delivery_outcome(),
        suspension,
        spec,
        comparison.expiry(),
        comparison.refused_or_recovered(is_new),
    ];
    changes.into_iter().flatten().collect()
}

impl Comparison<'_> {
    /// The identity of the key in audit records; `None` before it has one. Without a credential
    /// record, an id that only a status shows is left out.
    fn identity(&self) -> Option<KeyIdentity> {
        let (email, key_id) = match (self.document, &self.reported.key_id) {
            (Some(document), _) => (document.email.clone(), document.key_id.to_string()),
            (None, Some(key_id)) => match &self.reported.email {
                Some(email) => (email.to_string(), key_id.to_string()),
                None => (String::new(), String::new()),
            },
            (None, None) => return None,
        };
        Some(KeyIdentity {
            email,
            key_id,
            namespace: self.apikey.metadata.namespace.clone()?,
            name: self.apikey.metadata.name.clone()?,
            org: self.apikey.spec.org.clone(),
        })
    }

    fn record(&self, action: Action) -> Option<Record> {
        let record = Record::new(self.now, action, self.identity()?);
        Some(Record {
            roles: self.new.roles.clone(),
            revision: Some(self.revision()),
            expires_at: self.document.map(|document| document.expires_at.clone()),
            ..record
        })
    }

    fn change(
        &self,
        severity: Severity,
        reason: &'static str,
        message: &str,
        action: Option<Action>,
    ) -> Change {
        Change {
            transition: Transition::new(severity, reason, message),
            audit: action.and_then(|action| self.record(action)),
        }
    }

    /// Message of this condition.
    fn message(&self, type_: &str) -> &str {
        conditions::find(&self.new.conditions, type_).map_or("", |c| &c.message)
    }

    /// Revision of the current secret.
    fn revision(&self) -> i64 {
        let delivered = self.document.map(|document| document.current.revision);
        delivered.unwrap_or(self.reported.revision)
    }

    /// Whether the key has a public id that has not been reported.
    fn is_issued(&self) -> bool {
        self.document
            .is_some_and(|document| self.reported.key_id.as_ref() != Some(&document.key_id))
    }

    fn is_restored(&self) -> bool {
        let restored = |document: &CredentialRecord| document.restored_from.is_some();
        self.is_issued() && self.document.is_some_and(restored)
    }

    /// The end of the overlap of a replaced secret.
    fn retired(&self) -> Option<Change> {
        let (document, retired) = (self.document?, self.reported.previous?);
        let accepted = document.accepted_previous(self.now);
        if self.is_issued() || accepted.is_some_and(|(entry, _)| entry.revision == retired.revision)
        {
            return None;
        }
        let early =
            document.discarded_revision == Some(retired.revision) || self.now < retired.valid_until;
        let message = format!(
            "Revision {} of the secret is refused from now on{}",
            retired.revision,
            if early {
                ", before its overlap ends"
            } else {
                ""
            }
        );
        let action = early.then_some(Action::Discard);
        Some(self.change(Severity::Normal, reason::PREVIOUS_RETIRED, &message, action))
    }

    /// A secret that has not been reported.
    fn secret(&self) -> Option<Change> {
        let document = self.document?;
        let secret = self.apikey.secret_name();
        let revision = document.current.revision;
        if self.is_restored() {
            let message = format!("Adopted revision {revision} of the secret from a backup");
            let action = Some(Action::Restore);
            return Some(self.change(Severity::Normal, reason::RESTORED, &message, action));
        }
        let is_delivered = conditions::is_true(&self.new.conditions, DELIVERED);
        let issued = |message: &str, action| {
            Some(self.change(Severity::Normal, reason::ISSUED, message, action))
        };
        let delivered = format!("Delivered revision {revision} of the secret to Secret '{secret}'");
        if self.is_issued() {
            let minted = format!(
                "Minted revision {revision} of the secret, not yet delivered to Secret '{secret}'"
            );
            let message = if is_delivered { delivered } else { minted };
            return issued(&message, Some(Action::Create));
        }
        if revision <= self.reported.revision {
            let is_first_delivery = is_delivered && !self.reported.was_delivered;
            return is_first_delivery
                .then(|| issued(&delivered, None))
                .flatten();
        }
        let rotated = match document.current.cause {
            Cause::Schedule => Some("by schedule"),
            Cause::Request => Some("on request"),
            Cause::First | Cause::Replacement => None,
        };
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
        let overlap = match document.accepted_previous(self.now) {
            Some((previous, end)) => {
                format!("revision {} is accepted until {end}", previous.revision)
            }
            None => "earlier revisions are refused".to_owned(),
        };
        let message = format!("{because}: Secret '{secret}' holds revision {revision}; {overlap}");
        Some(self.change(severity, reason, &message, Some(action)))
    }

    /// The outcome of the delivery, such as a claim.
    fn delivery_outcome(&self) -> Option<Change> {
        let (reason, severity, action) = delivery_outcome(self.new)?;
        let is_known = self.reported.outcome == Some(reason)
            && self.reported.revision == self.revision()
            && !self.is_issued();
        if is_known || self.is_restored() {
            return None;
        }
        Some(self.change(severity, reason, self.message(DELIVERED), action))
    }

    /// Changes of the spec. If only a stored status shows the previous values, they are in one line
    /// only, because they may be forged.
    fn declared(&self) -> [Option<Change>; 2] {
        match (self.suspension(), self.spec()) {
            (Some(mut suspension), Some(spec)) if self.reported.is_unverified => {
                if let (Some(line), Some(roles)) = (&mut suspension.audit, spec.audit) {
                    line.previous_roles = roles.previous_roles;
                }
                [Some(suspension), None]
            }
            (suspension, spec) => [suspension, spec],
        }
    }

    fn suspension(&self) -> Option<Change> {
        let (reason, message, action) = match (self.reported.is_suspended, self.is_suspended()) {
            (false, true) => (reason::SUSPENDED, self.message(SUSPENDED), Action::Suspend),
            (true, false) => (
                reason::RESUMED,
                "`suspended` is false again: tokens are issued",
                Action::Resume,
            ),
            (true, true) | (false, false) => return None,
        };
        Some(self.change(Severity::Normal, reason, message, Some(action)))
    }

    fn is_suspended(&self) -> bool {
        conditions::is_true(&self.new.conditions, SUSPENDED)
    }

    /// A change of the roles, or of a part of the spec that has no line of its own.
    fn spec(&self) -> Option<Change> {
        let is_known = self.reported.generation >= 1 && !self.is_issued();
        let action = Some(Action::Update);
        if is_known && self.reported.roles != Roles::of(&self.new.roles) {
            let before = self.reported.roles.to_vec();
            let message = format!(
                "Roles are now [{}], they were [{}]; the secret stays",
                self.new.roles.join(", "),
                before.join(", ")
            );
            let mut change = self.change(Severity::Normal, reason::UPDATED, &message, action);
            if let Some(record) = &mut change.audit {
                record.previous_roles = Some(before);
            }
            return Some(change);
        }
        let is_changed = self.reported.generation < self.new.observed_generation;
        if is_known && is_changed && self.reported.is_suspended == self.is_suspended() {
            let message = "Accepted the change of the spec; the secret stays";
            return Some(self.change(Severity::Normal, reason::UPDATED, message, action));
        }
        None
    }

    fn expiry(&self) -> Option<Change> {
        let expiry = Expiry::of(self.new);
        if expiry == self.reported.expiry {
            return None;
        }
        let (reason, condition, action) = match expiry {
            Expiry::Ahead => return None,
            Expiry::Near => (reason::EXPIRING_SOON, EXPIRING_SOON, None),
            Expiry::Passed => (reason::EXPIRED, READY, Some(Action::Expire)),
        };
        Some(self.change(Severity::Warning, reason, self.message(condition), action))
    }

    /// Whether the key became unusable, or usable again without a new secret.
    fn refused_or_recovered(&self, has_new_secret: bool) -> Option<Change> {
        if Expiry::of(self.new) == Expiry::Passed {
            return None;
        }
        let is_ready = conditions::is_true(&self.new.conditions, READY);
        let message = self.message(READY);
        match (self.reported.refusal, refusal(self.new)) {
            (before, Some(refusal)) if before != Some(refusal) => {
                Some(self.change(Severity::Warning, refusal, message, None))
            }
            (Some(before), None)
                if is_ready && !has_new_secret && before != reason::PROGRESSING_WITH_RETRY =>
            {
                Some(self.change(Severity::Normal, reason::RECOVERED, message, None))
            }
            _ => None,
        }
    }
}
