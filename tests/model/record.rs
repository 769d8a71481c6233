//! The parts of credential records, made of numbers.

use apikey_credential::KeyId;
use apikey_credential::fingerprint::Fingerprint;
use apikey_credential::record::{Cause, Entry, Identity, Owner};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::world::{Seconds, SecretNumber, Uid, timestamp};

/// The uid of an `ApiKey` of this number.
pub(crate) fn uid(uid: Uid) -> String {
    format!("uid-{uid}")
}

/// The entry that proves a secret.
pub(crate) fn entry(
    secret: SecretNumber,
    revision: i64,
    cause: Cause,
    created_at: Seconds,
) -> Entry {
    Entry {
        revision,
        hash: format!("hash of {secret}"),
        fingerprint: Fingerprint {
            pepper_id: "p".into(),
            value: "v".into(),
        },
        created_at: Time(timestamp(created_at)),
        cause,
        valid_until: None,
    }
}

/// The digest that names the secret in the annotation of a delivered Secret.
pub(crate) fn digest(secret: SecretNumber) -> String {
    entry(secret, 0, Cause::First, 0).digest()
}

/// The permanent identity of the key with this uid. The public id contains the number of its first secret.
pub(crate) fn identity(of: Uid, secret: SecretNumber) -> Identity {
    Identity {
        owner: Owner {
            namespace: "team".into(),
            name: "ci".into(),
            uid: uid(of),
        },
        org: "acme".into(),
        email: "ci@acme.apikeys.internal".into(),
        key_id: KeyId::from_entropy([secret; 10]),
    }
}
