//! Mints secrets and their entries in the credential record. Only this file of the controller of
//! keys needs random bytes and hashes.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::controller::keyrings::Slot;
use apikey_api::ApiKey;
use apikey_client::clock::Clock;
use apikey_client::error::Error;
use apikey_credential::fingerprint::PepperRing;
use apikey_credential::record::{Cause, Entry, FIRST_REVISION};
use apikey_credential::sealed::Recipients;
use apikey_credential::{Hasher, KeyId, PrehashedSecret, Secret, SecretPool};

/// A minted secret that is not delivered yet, and its entry.
pub(super) struct Minted {
    pub(super) secret: Secret,
    pub(super) entry: Entry,
}

/// Mints secrets.
#[derive(Debug)]
pub(crate) struct Minter {
    /// Hashes further secrets.
    pub(crate) hasher: Arc<Hasher>,
    /// Has first secrets with their hashes.
    pub(crate) secret_pool: Arc<SecretPool>,
    /// Peppers of the fingerprints. Empty until the pepper ring has been read.
    pub(crate) peppers: Arc<Slot<PepperRing>>,
    /// The time.
    pub(crate) clock: Clock,
}

impl Minter {
    /// A first secret, with a new public id.
    pub(super) async fn mint_first(&self) -> Result<Minted, Error> {
        let prehashed = self.secret_pool.take().await;
        let PrehashedSecret { secret, hash } =
            prehashed.map_err(|error| Error::internal("mint a secret", &error))?;
        self.prove(secret, hash, FIRST_REVISION, Cause::First)
    }

    /// A further secret of a key.
    pub(super) async fn mint(
        &self,
        key_id: &KeyId,
        revision: i64,
        cause: Cause,
    ) -> Result<Minted, Error> {
        let secret = Secret::generate(key_id);
        let secret = secret.map_err(|error| Error::internal("mint a secret", &error))?;
        let hash = self.hasher.hash(secret.clone()).await;
        let hash = hash.map_err(|error| Error::internal("hash the secret", &error))?;
        self.prove(secret, hash, revision, cause)
    }

    fn prove(
        &self,
        secret: Secret,
        hash: String,
        revision: i64,
        cause: Cause,
    ) -> Result<Minted, Error> {
        #[derive(Debug, thiserror::Error)]
        #[error("the pepper ring has not been read yet")]
        struct Missing;
        let peppers = self.peppers.ring();
        let peppers = peppers.ok_or_else(|| Error::internal("fingerprint the secret", &Missing))?;
        let fingerprint = peppers
            .fingerprint(&secret)
            .map_err(|error| Error::internal("fingerprint the secret", &error))?;
        let created_at = Time(self.clock.now());
        let entry = Entry {
            revision,
            hash,
            fingerprint,
            created_at,
            cause,
            valid_until: None,
        };
        Ok(Minted { secret, entry })
    }
}

/// Encrypts the secret for the recipients of the key. `None` if it has no recipients.
pub(super) fn seal(apikey: &ApiKey, secret: &Secret) -> Result<Option<String>, Error> {
    let doing = "encrypt the secret";
    if apikey.recipients().is_empty() {
        return Ok(None);
    }
    let recipients =
        Recipients::parse(apikey.recipients()).map_err(|error| Error::internal(doing, &error))?;
    let sealed = recipients.seal(secret);
    sealed
        .map(Some)
        .map_err(|error| Error::internal(doing, &error))
}
