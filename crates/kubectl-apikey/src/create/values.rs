//! Values of the flags of `create`, and how they are parsed. Pure.

use k8s_openapi::jiff::SignedDuration;

use crate::time;
use apikey_api::SubOrganization;
use apikey_credential::sealed::Recipients;

const DAY_SECONDS: i64 = 86_400;

/// When a key expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expiry {
    /// After this duration.
    In(SignedDuration),
    /// At this time, as the user wrote it.
    At(String),
}

/// Parses `90d` or an RFC 3339 time.
pub(super) fn expiry(text: &str) -> Result<Expiry, String> {
    if let Ok(duration) = time::duration(text) {
        return Ok(Expiry::In(duration));
    }
    match apikey_policy::spec_expiry(Some(text)) {
        Ok(_) => Ok(Expiry::At(text.to_owned())),
        Err(_) => Err("use a duration (90d) or a time (2027-05-24T00:00:00Z)".to_owned()),
    }
}

/// A sub-organization and the roles in it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SubOrg(pub(super) SubOrganization);

/// Parses `ORG` or `ORG=ROLE,ROLE`.
pub(super) fn sub_org(text: &str) -> Result<SubOrg, String> {
    let (org, roles) = match text.split_once('=') {
        None => (text, Vec::new()),
        Some((org, roles)) => (org, roles.split(',').map(str::to_owned).collect()),
    };
    if org.is_empty() || roles.iter().any(String::is_empty) {
        return Err("use ORG, or ORG=ROLE,ROLE".to_owned());
    }
    let org = org.to_owned();
    Ok(SubOrg(SubOrganization { org, roles }))
}

/// Parses a duration of whole days.
pub(super) fn days(text: &str) -> Result<i32, String> {
    let seconds = time::duration(text)?.as_secs();
    let days = i32::try_from(seconds / DAY_SECONDS).ok();
    days.filter(|_| seconds % DAY_SECONDS == 0)
        .ok_or_else(|| "use whole days, for example 30d".to_owned())
}

/// Parses a duration into seconds.
pub(super) fn seconds(text: &str) -> Result<u32, String> {
    let seconds = time::duration(text)?.as_secs();
    u32::try_from(seconds).map_err(|_| "is too long".to_owned())
}

/// Parses a public key of age and verifies its checksum.
pub(super) fn recipient(text: &str) -> Result<String, String> {
    let text = text.to_owned();
    match Recipients::parse(std::slice::from_ref(&text)) {
        Ok(_) => Ok(text),
        Err(bad) => Err(bad.to_string()),
    }
}
