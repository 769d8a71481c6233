//! Properties of an `ApiKey` that verbs show and check. Pure.

use anstyle::Style;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;

use super::program;
use super::terminal::{BAD, GOOD, WARN};
use apikey_api::conditions::{self, reason};
use apikey_api::{ApiKey, Phase};

/// The name of the key.
pub(super) fn name(key: &ApiKey) -> &str {
    key.metadata.name.as_deref().unwrap_or_default()
}

/// The namespace of the key.
pub(super) fn namespace(key: &ApiKey) -> &str {
    key.metadata.namespace.as_deref().unwrap_or_default()
}

/// The command that runs a verb on the key, for hints.
pub(super) fn call(key: &ApiKey, verb: &str) -> String {
    program::call(verb, name(key), namespace(key))
}

/// Time at which the key was created.
pub(super) fn created(key: &ApiKey) -> Option<Timestamp> {
    key.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

/// Time from which the key is refused.
pub(super) fn expires_at(key: &ApiKey) -> Option<Timestamp> {
    key.status.as_ref()?.expires_at.as_ref().map(|time| time.0)
}

/// Time at which the key was last used.
pub(super) fn last_used(key: &ApiKey) -> Option<Timestamp> {
    key.status
        .as_ref()?
        .last_used_at
        .as_ref()
        .map(|time| time.0)
}

/// The conditions of the key.
pub(super) fn conditions_of(key: &ApiKey) -> &[Condition] {
    let status = key.status.as_ref();
    status.map(|s| s.conditions.as_slice()).unwrap_or_default()
}

/// The condition `Ready` of the key.
pub(super) fn ready(key: &ApiKey) -> Option<&Condition> {
    conditions::find(conditions_of(key), conditions::READY)
}

/// Whether the status describes the current spec.
pub(super) fn is_observed(key: &ApiKey) -> bool {
    let seen = key.status.as_ref().map(|status| status.observed_generation);
    seen == key.metadata.generation
}

/// Whether the current secret is refused on request while the next one can't be delivered.
pub(super) fn is_refused(key: &ApiKey) -> bool {
    let delivered = conditions::find(conditions_of(key), conditions::DELIVERED);
    delivered.is_some_and(|delivered| delivered.reason == reason::DELIVERY_HELD_UP)
}

/// The phase in one word, or that the secret is refused or the key is suspended.
pub(super) fn phase(key: &ApiKey) -> (String, Style) {
    let phase = key.status.as_ref().and_then(|status| status.phase);
    let (word, style) = match phase {
        None => ("Pending", WARN),
        Some(phase @ Phase::Pending) => (phase.as_str(), WARN),
        Some(phase @ Phase::Active) => (phase.as_str(), GOOD),
        Some(phase @ Phase::Expired) => (phase.as_str(), BAD),
    };
    let marks = [
        (is_refused(key), "Refused", BAD),
        (key.spec.suspended, "Suspended", WARN),
    ];
    let held: Vec<_> = marks.into_iter().filter(|(holds, ..)| *holds).collect();
    let style = held.first().map_or(style, |(.., style)| *style);
    let words: Vec<_> = std::iter::once(word)
        .chain(held.iter().map(|(_, word, _)| *word))
        .collect();
    (words.join(","), style)
}

/// The style for the status of a condition with positive polarity.
pub(super) fn truth(status: &str) -> Style {
    match status {
        "True" => GOOD,
        "False" => BAD,
        _ => WARN,
    }
}
