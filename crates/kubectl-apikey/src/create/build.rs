//! Builds an `ApiKey` from flags. Pure.

use k8s_openapi::jiff::Timestamp;

use super::flags::{Create, How};
use super::values::Expiry;
use crate::exit::Failure;
use crate::time;
use apikey_api::{ApiKey, ApiKeySpec, DeliveredSecretSpec, Delivery, RotationSpec, TokenSpec};

/// Fields of an `ApiKey`, and the flags that set them.
const FLAGS: [(&str, &str); 17] = [
    ("metadata", "NAME"),
    ("spec", "the key"),
    ("spec.name", "--login-name"),
    ("spec.org", "--org"),
    ("spec.roles", "--role"),
    ("spec.subOrgs", "--sub-org"),
    ("spec.expiry", "--expires"),
    ("spec.description", "--description"),
    (
        "spec.secret",
        "--secret-name, --delivery, --reveal-within, --recipient",
    ),
    ("spec.secret.name", "--secret-name"),
    ("spec.secret.revealWithinSeconds", "--reveal-within"),
    ("spec.secret.recipients", "--recipient"),
    ("spec.rotation", "--rotate-every, --overlap"),
    ("spec.rotation.everyDays", "--rotate-every"),
    ("spec.rotation.overlapSeconds", "--overlap"),
    ("spec.token.ttlSeconds", "--ttl"),
    ("spec.token.audiences", "--audience"),
];

/// Builds the object.
pub(super) fn apikey(flags: &Create, now: Timestamp) -> Result<ApiKey, Failure> {
    let expiry = match &flags.expires {
        None => None,
        Some(Expiry::At(text)) => Some(text.clone()),
        Some(Expiry::In(duration)) => {
            let time = time::after(now, *duration);
            let time = time.ok_or_else(|| Failure::usage("--expires is too far away"))?;
            Some(time.to_string())
        }
    };
    if let Ok(Some(end)) = apikey_policy::spec_expiry(expiry.as_deref())
        && end <= now
    {
        return Err(Failure::usage(format!(
            "--expires {end} is in the past: use a future time"
        )));
    }
    let spec = ApiKeySpec {
        name: flags.login_name.clone(),
        org: flags.org.clone().unwrap_or_default(),
        roles: flags.roles.clone(),
        sub_orgs: flags.sub_orgs.iter().map(|sub| sub.0.clone()).collect(),
        expiry,
        description: flags.description.clone(),
        suspended: false,
        secret: secret(flags),
        rotation: rotation(flags),
        token: token(flags),
    };
    Ok(ApiKey::new(flags.name.as_deref().unwrap_or_default(), spec))
}

/// Fails if a part of the key would be refused, and names the flags that set it.
pub(super) fn refuse(faults: &[(String, String)]) -> Result<(), Failure> {
    if faults.is_empty() {
        return Ok(());
    }
    let messages = faults.iter().map(|(field, message)| {
        let field = field.trim_start_matches('.');
        let (_, flag) = FLAGS
            .into_iter()
            .filter(|(path, _)| field.starts_with(path))
            .max_by_key(|(path, _)| path.len())
            .unwrap_or_default();
        format!("{flag} ({field}): {message}")
    });
    let messages: Vec<_> = messages.collect();
    Err(Failure::usage(messages.join("; ")))
}

fn secret(flags: &Create) -> Option<DeliveredSecretSpec> {
    let delivery = match flags.delivery {
        Some(How::RevealOnce) => Delivery::RevealOnce,
        Some(How::Keep) | None => Delivery::Keep,
    };
    let secret = DeliveredSecretSpec {
        name: flags.secret_name.clone(),
        delivery,
        reveal_within_seconds: flags.reveal_within,
        recipients: flags.recipients.clone(),
        ..DeliveredSecretSpec::default()
    };
    (secret != DeliveredSecretSpec::default()).then_some(secret)
}

fn rotation(flags: &Create) -> Option<RotationSpec> {
    let rotation = RotationSpec {
        every_days: flags.rotate_every,
        overlap_seconds: flags.overlap,
    };
    (rotation != RotationSpec::default()).then_some(rotation)
}

fn token(flags: &Create) -> Option<TokenSpec> {
    let token = TokenSpec {
        ttl_seconds: flags.ttl.map(|ttl| ttl.as_secs()),
        audiences: flags.audiences.clone(),
    };
    (token != TokenSpec::default()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::create::values::{days, expiry, sub_org};

    fn flags() -> Create {
        Create {
            name: Some("ci".into()),
            org: Some("acme".into()),
            roles: vec!["viewer".into()],
            ..Create::default()
        }
    }

    fn now() -> Timestamp {
        "2026-11-24T10:00:00.5Z".parse().unwrap()
    }

    #[test]
    fn what_is_not_asked_for_is_left_out() {
        let key = apikey(&flags(), now()).unwrap();
        let json = serde_json::to_value(&key).unwrap();
        let spec = serde_json::json!({"org": "acme", "roles": ["viewer"]});
        assert_eq!(json["spec"], spec);
        assert!(json.get("status").is_none());
    }

    #[test]
    fn an_expiry_is_a_time_or_a_duration_and_lies_ahead() {
        let with = |text| {
            let expires = Some(expiry(text).unwrap());
            let flags = Create { expires, ..flags() };
            apikey(&flags, now()).map(|key| key.spec.expiry.unwrap())
        };
        assert_eq!(with("90d").unwrap(), "2027-02-22T10:00:00Z");
        assert_eq!(
            with("2027-05-24T00:00:00Z").unwrap(),
            "2027-05-24T00:00:00Z"
        );
        assert!(
            with("2020-05-24T00:00:00Z")
                .unwrap_err()
                .message()
                .contains("is in the past")
        );
        assert!(expiry("soon").is_err());
    }

    #[test]
    fn rotation_is_in_whole_days_and_sub_organizations_may_name_roles() {
        assert_eq!(days("30d"), Ok(30));
        assert!(days("36h").is_err());
        let sub = sub_org("acme-tr=a,b").unwrap().0;
        assert_eq!((sub.org.as_str(), sub.roles.len()), ("acme-tr", 2));
        assert!(sub_org("acme-tr=").is_err() && sub_org("=a").is_err());
    }
}
