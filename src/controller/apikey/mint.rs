//! Makes secrets and what proves them: the only place that asks for random bytes and hashes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::controller::context::Context;
use apikey_api::ApiKey;
use apikey_client::error::Error;
use apikey_credential::record::{Cause, Entry, FIRST_REVISION};
use apikey_credential::sealed::Recipients;
use apikey_credential::{KeyId, PrehashedSecret, Secret};

/// A secret that this run minted, until it is delivered.
pub(super) struct Minted {
    pub(super) secret: Secret,
    pub(super) entry: Entry,
}

/// A first secret, with a new public id.
pub(super) async fn mint_first(ctx: &Context) -> Result<Minted, Error> {
    let prehashed = ctx.secret_pool.take().await;
    let PrehashedSecret { secret, hash } =
        prehashed.map_err(|error| Error::internal("mint a secret", &error))?;
    prove(ctx, secret, hash, FIRST_REVISION, Cause::First)
}

/// A further secret of a key.
pub(super) async fn mint(
    ctx: &Context,
    key_id: &KeyId,
    revision: i64,
    cause: Cause,
) -> Result<Minted, Error> {
    let secret = Secret::generate(key_id);
    let secret = secret.map_err(|error| Error::internal("mint a secret", &error))?;
    let hash = ctx.hasher.hash(secret.clone()).await;
    let hash = hash.map_err(|error| Error::internal("hash the secret", &error))?;
    prove(ctx, secret, hash, revision, cause)
}

fn prove(
    ctx: &Context,
    secret: Secret,
    hash: String,
    revision: i64,
    cause: Cause,
) -> Result<Minted, Error> {
    let fingerprint = ctx
        .pepper_ring()?
        .fingerprint(&secret)
        .map_err(|error| Error::internal("fingerprint the secret", &error))?;
    let created_at = Time(ctx.clock.now());
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

/// The secret for the recipients of the key, if it has any.
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
