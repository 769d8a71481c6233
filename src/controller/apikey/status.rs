//! The status of one key. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::conditions::desired;
use super::facts::Facts;
use super::model::Situation;
use apikey_api::{ApiKeyStatus, Phase, PreviousSecret, conditions};
use apikey_credential::record::{Cause, Claim};

/// The status of the key as observed.
pub(super) fn compute(facts: &Facts<'_>, situation: &Situation) -> ApiKeyStatus {
    let Facts {
        observed,
        assessment,
        ..
    } = facts;
    let apikey = &observed.apikey;
    let old = apikey.status.clone().unwrap_or_default();
    let document = observed.document();
    let fixed_expiry = document
        .map(|d| d.expires_at.0)
        .or(match apikey.spec.expiry {
            Some(_) => assessment.expires_at,
            None => None,
        });
    let key_id = document.map(|document| document.key_id.clone());
    let phase = if *situation == Situation::Expired {
        Phase::Expired
    } else if observed.record.is_some() {
        Phase::Active
    } else {
        Phase::Pending
    };
    let generation = apikey.metadata.generation.unwrap_or(0);
    let email = document.map(|document| document.email.clone());
    // Keep the previous status fields while the credential record is unreadable.
    let kept = observed.record.is_some() && document.is_none();
    ApiKeyStatus {
        observed_generation: generation,
        phase: Some(phase),
        name: Some(apikey.login_name().to_owned()),
        key_id: key_id
            .map(String::from)
            .or_else(|| old.key_id.clone().filter(|_| kept)),
        email: email.or_else(|| old.email.clone().filter(|_| kept)),
        organization_id: Some(assessment.organization_id.to_string()),
        roles: assessment.roles.clone(),
        expires_at: fixed_expiry
            .map(Time)
            .or_else(|| old.expires_at.clone().filter(|_| kept)),
        revision: document
            .map(|d| d.current.revision)
            .or_else(|| old.revision.filter(|_| kept)),
        secret_name: Some(apikey.secret_name().to_owned()),
        previous_secret: facts.previous.map(|(previous, end)| PreviousSecret {
            revision: previous.revision,
            valid_until: Time(end),
        }),
        rotated_at: document
            .filter(|document| document.current.cause != Cause::First)
            .map(|document| document.current.created_at.clone()),
        next_rotation_at: facts
            .scheduled_at
            .filter(|_| *situation != Situation::Expired)
            .map(Time),
        handled_rotate_request: document.map_or_else(
            || old.handled_rotate_request.clone().filter(|_| kept),
            |document| document.handled_rotate_requests.last().cloned(),
        ),
        revealed_at: document.and_then(|document| match &document.claim {
            Claim::Revealed { at } => Some(at.clone()),
            Claim::Unrecorded | Claim::Delivered | Claim::Unclaimed | Claim::Removed => None,
        }),
        // The token server writes this field. It is copied here, because a write replaces the whole
        // status.
        last_used_at: old.last_used_at,
        conditions: conditions::next(
            &old.conditions,
            desired(facts, situation),
            generation,
            observed.now,
        ),
    }
}
