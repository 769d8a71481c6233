//! The conditions of one key. Each message says what to do. Pure.

use super::facts::{Facts, Rotation};
use super::model::{Missing, Observed, Retry, Situation};
use apikey_api::conditions::{
    DELIVERED, Desired, EXPIRED, EXPIRING_SOON, READY, RECONCILING, STALLED, SUSPENDED, reason,
};
use apikey_api::{ROTATION_WAITS, names};
use apikey_credential::record::Claim;
use apikey_policy::{Assessment, DEFAULT_MAX_LIFETIME_DAYS};

/// The conditions that the key has in this situation.
pub(super) fn desired(facts: &Facts<'_>, situation: &Situation) -> Vec<Desired> {
    let Facts {
        observed,
        assessment,
        ..
    } = facts;
    let apikey = &observed.apikey;
    let secret = apikey.secret_name();
    let condition = |type_, status, reason, message: &str| Desired {
        type_,
        status,
        reason,
        message: message.to_owned(),
    };
    let mut conditions = Vec::with_capacity(5);
    let refused = refused_on_request(observed);
    let mut not_ready = |companion, reason, message: &str| {
        let sentences = [Some(message), refused.as_deref()];
        let message = sentences
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(". ");
        conditions.push(condition(READY, "False", reason, &message));
        conditions.push(condition(companion, "True", reason, &message));
    };
    match situation {
        Situation::Expired => {
            let message = expired_message(observed, assessment);
            not_ready(STALLED, reason::EXPIRED, &message);
            conditions.push(condition(EXPIRED, "True", reason::EXPIRED, &message));
        }
        Situation::Denied(denial, Retry::Requeue) => {
            not_ready(RECONCILING, denial.reason, &denial.message);
        }
        Situation::Denied(denial, Retry::AwaitChange) => {
            not_ready(STALLED, denial.reason, &denial.message);
        }
        Situation::RecordUnreadable(error) => {
            let uid = apikey.metadata.uid.as_deref().unwrap_or_default();
            let name = names::record_secret(uid);
            let message = format!(
                "{error}: restore Secret '{name}' in the operator's namespace from a backup, or \
                 delete it to have a new secret minted"
            );
            not_ready(STALLED, reason::VERIFIER_UNREADABLE, &message);
        }
        Situation::SecretConflict => {
            let message = format!(
                "Secret '{secret}' exists and does not belong to this ApiKey: delete the Secret, \
                 or create the ApiKey anew with another `secret.name`"
            );
            not_ready(STALLED, reason::SECRET_CONFLICT, &message);
        }
        Situation::EarlierSecret => {
            let message = format!(
                "Secret '{secret}' belongs to a deleted ApiKey of the same name: waiting until it \
                 is garbage-collected"
            );
            not_ready(RECONCILING, reason::PREVIOUS_SECRET_TERMINATING, &message);
        }
        Situation::ReplacementBackoff(until) => {
            let message = format!(
                "Secret '{secret}' was removed or changed repeatedly, so the next secret is minted at \
                 {until:.0}: find out what removes or changes the Secret"
            );
            not_ready(RECONCILING, reason::SECRET_REMOVED_REPEATEDLY, &message);
        }
        Situation::PendingLimitReached(until) => {
            let message = format!(
                "Several new secrets were minted recently and none was delivered to Secret \
                 '{secret}', so the next one is minted at {until:.0}: find out what interrupts the \
                 operator"
            );
            not_ready(RECONCILING, reason::PROGRESSING_WITH_RETRY, &message);
        }
        Situation::AwaitingRestore(missing) => {
            let message = missing_message(observed, *missing);
            not_ready(RECONCILING, reason::RESTORE_INCOMPLETE, &message);
        }
        Situation::Unclaimed => {
            let message = format!(
                "Nobody claimed the secret in time, so Secret '{secret}' was removed: rotate to \
                 have a new one, with `kubectl apikey rotate` or the annotation '{}'",
                names::ANNOTATION_ROTATE_REQUESTED_AT
            );
            not_ready(STALLED, reason::CLAIM_EXPIRED, &message);
        }
        Situation::Failed {
            reason,
            message,
            retry,
        } => {
            let companion = if *retry == Retry::AwaitChange {
                STALLED
            } else {
                RECONCILING
            };
            not_ready(companion, reason, message);
        }
        Situation::Working => {
            let message = "Minting and delivering the secret";
            conditions.push(condition(READY, "Unknown", reason::PROGRESSING, message));
            conditions.push(condition(RECONCILING, "True", reason::PROGRESSING, message));
        }
        Situation::Usable if refused.is_some() => {
            let message = "No new secret is delivered while keys are being restored: end the restore \
                           (`--restore=false`)";
            not_ready(RECONCILING, reason::DELIVERY_HELD_UP, message);
        }
        Situation::Usable => {
            let reason = if apikey.spec.suspended {
                reason::SUSPENDED
            } else {
                reason::ISSUED
            };
            conditions.push(condition(READY, "True", reason, &usable_message(facts)));
        }
    }
    conditions.push(delivered_condition(facts));
    if apikey.spec.suspended {
        let message = "`suspended` is true: no token is issued";
        conditions.push(condition(SUSPENDED, "True", reason::SUSPENDED, message));
    }
    let soon = facts
        .expiring_soon_from
        .is_some_and(|from| from <= observed.now);
    if let Some(expires_at) = assessment.expires_at
        && soon
        && *situation != Situation::Expired
    {
        let message = format!("Expires at {expires_at}: create another ApiKey to replace it");
        conditions.push(condition(
            EXPIRING_SOON,
            "True",
            reason::EXPIRING_SOON,
            &message,
        ));
    }
    conditions
}

/// The message for a key whose secret ends on request while the new one can't be delivered. The
/// reason of `Ready` says what blocks the delivery, and so what to do.
fn refused_on_request(observed: &Observed) -> Option<String> {
    let document = observed.document()?;
    let (until, revision) = (document.current_until()?, document.current.revision);
    let secret = observed.apikey.secret_name();
    Some(format!(
        "Revision {revision} of the secret is refused from {until} on, because a new secret was \
         requested without an overlap. The new secret is not yet delivered to Secret '{secret}'"
    ))
}

fn delivered_condition(facts: &Facts<'_>) -> Desired {
    let observed = facts.observed;
    let secret = observed.apikey.secret_name();
    if let Some(message) = refused_on_request(observed) {
        return Desired {
            type_: DELIVERED,
            status: "False",
            reason: reason::DELIVERY_HELD_UP,
            message,
        };
    }
    let kept = facts.is_kept_by_finalizer();
    let claim = observed.document().map(|document| &document.claim);
    let (status, reason, message) = match claim {
        Some(Claim::Revealed { at }) if kept => {
            let kept = kept_message(secret);
            let message = format!("The secret was claimed at {:.0}. {kept}", at.0);
            ("True", reason::REVEALED, message)
        }
        Some(Claim::Revealed { at }) => {
            let message = format!("The secret was claimed at {:.0} and is kept nowhere", at.0);
            ("True", reason::REVEALED, message)
        }
        Some(Claim::Unclaimed) if kept => {
            let message = format!(
                "Nobody claimed the secret in time. {}",
                kept_message(secret)
            );
            ("False", reason::CLAIM_EXPIRED, message)
        }
        Some(Claim::Unclaimed) => {
            let message =
                format!("Secret '{secret}' was removed, because nobody claimed it in time");
            ("False", reason::CLAIM_EXPIRED, message)
        }
        Some(Claim::Removed) => {
            let message = format!(
                "Somebody removed Secret '{secret}' before the secret was claimed: if nobody has the \
                 secret, rotate to have a new one"
            );
            ("False", reason::SECRET_REMOVED, message)
        }
        Some(Claim::Unrecorded | Claim::Delivered) | None => {
            return in_secret(facts, secret);
        }
    };
    Desired {
        type_: DELIVERED,
        status,
        reason,
        message,
    }
}

fn kept_message(secret: &str) -> String {
    format!(
        "Secret '{secret}' still holds it, because a finalizer keeps the Secret and the operator \
         can't empty it (an `immutable` Secret, for example). Remove the finalizer"
    )
}

fn in_secret(facts: &Facts<'_>, secret: &str) -> Desired {
    let (status, reason, message) = match facts.claim_until {
        _ if !facts.is_delivered => {
            let message = format!("Secret '{secret}' does not hold the current secret");
            ("False", reason::NOT_DELIVERED, message)
        }
        Some(until) => {
            let message = format!(
                "Secret '{secret}' holds the secret until somebody claims it (`kubectl apikey \
                 reveal`), at the latest until {until}"
            );
            ("True", reason::AWAITING_CLAIM, message)
        }
        None => {
            let message = format!("Secret '{secret}' holds the name and the secret");
            ("True", reason::ISSUED, message)
        }
    };
    Desired {
        type_: DELIVERED,
        status,
        reason,
        message,
    }
}

fn missing_message(observed: &Observed, missing: Missing) -> String {
    let secret = observed.apikey.secret_name();
    let what = match missing {
        Missing::Record => {
            "The credential record of this key is missing: restore it into the operator's namespace"
                .to_owned()
        }
        Missing::Delivered => format!("Secret '{secret}' is missing: restore it"),
        Missing::Match => format!(
            "Secret '{secret}' and the credential record of this key are not from the same time: \
             restore both from one backup"
        ),
    };
    format!("{what}, or end the restore (`--restore=false`) to have a new secret minted")
}

fn expired_message(observed: &Observed, assessment: &Assessment) -> String {
    let at = assessment
        .expires_at
        .map(|at| at.to_string())
        .unwrap_or_default();
    if observed.record.is_some() {
        format!("Expired at {at}: create another ApiKey to replace it")
    } else {
        format!("Already expired at {at} when it was first seen: no secret was minted")
    }
}

fn usable_message(facts: &Facts<'_>) -> String {
    let Facts {
        observed,
        assessment,
        ..
    } = facts;
    let org = &observed.apikey.spec.org;
    let usable = if observed.apikey.spec.suspended {
        "Suspended: no token is issued until `suspended` is false again".to_owned()
    } else {
        let at = assessment
            .expires_at
            .map(|at| at.to_string())
            .unwrap_or_default();
        format!("Usable until {at}")
    };
    let left_out = (!assessment.unknown_roles.is_empty()).then(|| {
        format!(
            "`roles` [{}] are not in the catalogue of Organization '{org}' and are left out",
            assessment.unknown_roles.join(", ")
        )
    });
    let uncovered = (!assessment.uncovered.is_empty()).then(|| {
        format!(
            "`subOrgs` [{}] are left out: {}",
            assessment.uncovered.join(", "),
            uncovered_because(observed)
        )
    });
    let unknown_audiences = (!assessment.unknown_audiences.is_empty()).then(|| {
        format!(
            "`token.audiences` [{}] are not among the `audiences` of Organization '{org}' and are \
             left out",
            assessment.unknown_audiences.join(", ")
        )
    });
    let undeclared = (!assessment.declared).then(|| {
        format!(
            "Organization '{org}' is not declared, so default rules hold (any role and audience, \
             at most {DEFAULT_MAX_LIFETIME_DAYS} days): create it to set rules"
        )
    });
    let sentences = [
        Some(usable),
        rotation_message(facts),
        left_out,
        uncovered,
        unknown_audiences,
        undeclared,
    ];
    let sentences: Vec<_> = sentences.into_iter().flatten().collect();
    sentences.join(". ")
}

/// Why a requested rotation has not begun.
fn rotation_message(facts: &Facts<'_>) -> Option<String> {
    match facts.rotation.as_ref()? {
        Rotation::Idle | Rotation::Due(_) => None,
        Rotation::Waits { revision, until } => Some(format!(
            "{ROTATION_WAITS} {until}, because revision {revision} of the secret is accepted until \
             then: discard that revision (annotation '{}: \"{revision}\"') to rotate now",
            names::ANNOTATION_DISCARD_PREVIOUS
        )),
        Rotation::Refused(bad) => Some(format!("No rotation: {bad}")),
    }
}

/// Why sub-organizations are left out. Every change of what it depends on enqueues this key.
fn uncovered_because(observed: &Observed) -> String {
    let org = &observed.apikey.spec.org;
    match observed.organization.as_deref() {
        None => format!("Organization '{org}' is not declared"),
        Some(own) if own.spec.parent.is_some() => format!(
            "'{org}' is a sub-organization itself, and its keys reach no other organization"
        ),
        Some(_) => format!(
            "each must be an Organization with `parent` '{org}' and have one of the roles in its \
             catalogue"
        ),
    }
}
