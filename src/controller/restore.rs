//! Takes over verifiers from a backup: the keys of a restored cluster have new uids.

use std::time::Duration;

use kube::runtime::reflector::ObjectRef;

use super::apikey::restore::may_adopt;
use super::context::{Context, post_params};
use super::verifiers;
use super::workers::Next;
use crate::watch::stored::Verifier;
use apikey_api::ApiKey;
use apikey_client::error::{Class, Error, request};
use apikey_client::object::Answer;
use apikey_credential::record::{CredentialRecord, Owner};

/// How long to wait for the key of a verifier to come back.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Gives a verifier whose owner is gone to the key of the same name, if that is there and may adopt it.
/// Otherwise the verifier is kept: its key may still come.
///
/// # Errors
/// A request failed.
pub async fn adopt(ctx: &Context, verifier: &Verifier, owner: &Owner) -> Result<Next, Error> {
    let later = Next::After(LOOK_AGAIN);
    let key = ObjectRef::<ApiKey>::new(&owner.name).within(&owner.namespace);
    let (Ok(document), Some(key)) = (&verifier.document, ctx.caches.apikeys.get(&key)) else {
        return Ok(later);
    };
    if !may_adopt(&key, document) {
        return Ok(later);
    }
    let adopted = document.adopted_by(key.metadata.uid.as_deref().unwrap_or_default());
    // First the new one: one of the two is there at any time.
    if !store(ctx, &adopted).await? {
        return Ok(later);
    }
    verifiers::remove(ctx, verifier).await?;
    let (namespace, name) = (&owner.namespace, &owner.name);
    let (uid, was) = (&adopted.owner.uid, &owner.uid);
    tracing::info!(namespace, name, uid, was, "Took over a key from a backup");
    Ok(Next::OnChange)
}

/// Creates the verifier; whether it is there. It is not if the key has another one.
async fn store(ctx: &Context, document: &CredentialRecord) -> Result<bool, Error> {
    let doing = "take over the verifier";
    let secret = Verifier::render(document, &ctx.namespace, None)
        .map_err(|error| Error::internal(doing, &error))?;
    let name = secret.metadata.name.clone().unwrap_or_default();
    let verifiers = ctx.verifiers();
    match request(doing, verifiers.create(&post_params(), &Answer(secret))).await {
        Ok(_) => Ok(true),
        Err(error) if error.class() == Class::Conflict => {
            let there = request("read the verifier", verifiers.get_opt(&name)).await?;
            let there = there.map(|Answer(read)| Verifier::read(read));
            let there = there.and_then(|verifier| verifier.document.ok());
            Ok(there.is_some_and(|there| there.key_id == document.key_id))
        }
        Err(error) => Err(error),
    }
}
