//! What of an `ApiKey` the verbs show and ask about. Pure.

use anstyle::Style;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;

use super::program;
use super::terminal::{BAD, GOOD, WARN};
use apikey_api::conditions::{self, reason};
use apikey_api::{ApiKey, Phase};

/// Its name.
pub(super) fn name(key: &ApiKey) -> &str {
    key.metadata.name.as_deref().unwrap_or_default()
}

/// Its namespace.
pub(super) fn namespace(key: &ApiKey) -> &str {
    key.metadata.namespace.as_deref().unwrap_or_default()
}

/// The call of a verb with it, for hints.
pub(super) fn call(key: &ApiKey, verb: &str) -> String {
    program::call(verb, name(key), namespace(key))
}

/// When it was created.
pub(super) fn created(key: &ApiKey) -> Option<Timestamp> {
    key.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

/// The time from which it is refused.
pub(super) fn expires_at(key: &ApiKey) -> Option<Timestamp> {
    key.status.as_ref()?.expires_at.as_ref().map(|time| time.0)
}

/// When it was last used.
pub(super) fn last_used(key: &ApiKey) -> Option<Timestamp> {
    key.status
        .as_ref()?
        .last_used_at
        .as_ref()
        .map(|time| time.0)
}

/// Its conditions.
pub(super) fn conditions_of(key: &ApiKey) -> &[Condition] {
    let status = key.status.as_ref();
    status.map(|s| s.conditions.as_slice()).unwrap_or_default()
}

/// Its condition `Ready`.
pub(super) fn ready(key: &ApiKey) -> Option<&Condition> {
    conditions::find(conditions_of(key), conditions::READY)
}

/// Whether the status is about the spec as it is.
pub(super) fn is_observed(key: &ApiKey) -> bool {
    let seen = key.status.as_ref().map(|status| status.observed_generation);
    seen == key.metadata.generation
}

/// Whether its current secret is refused on request, while the next one can't be delivered.
pub(super) fn is_refused(key: &ApiKey) -> bool {
    let delivered = conditions::find(conditions_of(key), conditions::DELIVERED);
    delivered.is_some_and(|delivered| delivered.reason == reason::DELIVERY_HELD_UP)
}

/// Its phase, and whether its secret is refused or it is suspended, in one word.
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

/// The style of a condition's status, for a condition that is good when it is `True`.
pub(super) fn truth(status: &str) -> Style {
    match status {
        "True" => GOOD,
        "False" => BAD,
        _ => WARN,
    }
}
